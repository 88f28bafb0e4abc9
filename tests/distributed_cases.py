"""Inputs cut into units without a model, and deliveries without numbers, to test scheduling."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np

from provis_fast.distributed import worker_loop
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


def mortal(protein):
    """Labels of a property that ends the process that looks at a certain protein."""
    if protein.id == "p40":
        os.kill(os.getpid(), signal.SIGKILL)
    return np.arange(len(protein)) % 2


class InThreads:
    """A transport whose workers are threads of this process, each with a model of its own."""

    def __init__(self, spec):
        self.spec = spec

    def start(self, place, post):
        return _Thread(self.spec, post)

    def close(self):
        pass


class _Thread:
    def __init__(self, spec, post):
        self.inbox = worker_loop.Inbox()
        self.give, self.leave, self.stop = self.inbox.put, self.inbox.leave, self.inbox.close
        threading.Thread(target=worker_loop.work, args=(spec, self.inbox, post)).start()
