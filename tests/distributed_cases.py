"""Inputs cut into units without a model, and deliveries without numbers, to test scheduling."""

from __future__ import annotations

import numpy as np

from provis_fast.partials import Partial
from provis_fast.proteins import Protein
from provis_fast.units import Block, Unit


def blocks(n_blocks: int, n_proteins: int = 12) -> list[Block]:
    """Blocks of proteins whose ids tell their place: b0.3 is the fourth of the first block."""
    return [
        Block(
            index,
            index * n_proteins,
            tuple(Protein(f"b{index}.{k}", "A" * (1 + k)) for k in range(n_proteins)),
        )
        for index in range(n_blocks)
    ]


def plan(block: Block, size: int = 3) -> list[Unit]:
    """Part 0 without members, then packs of `size` proteins."""
    numbered = list(enumerate(block.records, start=block.first))
    packs = [tuple(numbered[k : k + size]) for k in range(0, len(numbered), size)]
    members = enumerate([(), *packs])
    return [Unit((block.index, part), (), of_part) for part, of_part in members]


def delivery(units, blocks=None) -> Partial:
    """What a worker says of finished units, without any sums."""
    return Partial(list(units), blocks or {}, None, [], {}, np.empty(0, np.uint64), 0, [])
