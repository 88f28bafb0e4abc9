"""The arcs of all heads of a model on some proteins, by one forward pass each, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from provis_fast.accumulate import Measures
from provis_fast.engine import BATCH_TOKENS, CPU_BATCH_TOKENS
from provis_fast.models import Model
from provis_fast.plan import PackPlanner
from provis_fast.proteins import Protein
from provis_fast.units import NOTED, blocks
from provis_fast.worker import Worker

#: Of the table of arcs that a worker makes.
_COLUMNS = ("record", "layer", "head", "query", "key", "weight")


class HeadArcs(NamedTuple):
    """Arcs of one protein, by layer and head, the strongest of each head first; N arcs.

    Attributes
    ----------
    starts : ndarray, uint32 [layers * heads + 1]
        Where the arcs of each head begin, layer by layer; the last entry is N.
    query, key : ndarray, uint16 [N]
        Positions in the sequence, from 0.
    weight : ndarray, float32 [N]
    """

    starts: np.ndarray
    query: np.ndarray
    key: np.ndarray
    weight: np.ndarray


def arcs_of(
    model: Model,
    proteins: Sequence[Protein],
    threshold: float,
    threads: int | None,
    notes: list[str],
) -> list[HeadArcs | str]:
    """Arcs of every head on every protein.

    Proteins of equal sequence share a forward pass.

    Parameters
    ----------
    model : Model
    proteins : sequence of Protein
    threshold : float
        The least attention of an arc.
    threads : int, optional
    notes : list of str
        What is to be said of the model's reading is added here.

    Returns
    -------
    list of HeadArcs or str
        One per protein; a text tells why there are none.
    """
    measures = Measures.checked((), threshold, None, model.n_layers, model.n_heads)
    on_cpu = model.device.type == "cpu"
    planner = PackPlanner(
        model, measures.properties, batch_tokens=CPU_BATCH_TOKENS if on_cpu else BATCH_TOKENS
    )
    first: dict[str, int] = {}
    for protein in proteins:
        first.setdefault(protein.sequence, len(first))
    unique = [Protein(f"sequence {number}", sequence) for sequence, number in first.items()]
    found: dict[int, HeadArcs | str] = {}
    with Worker(model, measures, planner, tables=("arcs",), threads=threads) as worker:
        for block in blocks(unique):
            for unit in planner.units(block):
                worker.run(planner.prepare(unit))
        told = worker.take()
    for template, n in told.counted.items():
        notes.append(template.format(n=n))
    for remark in told.remarks:
        if remark.status != NOTED:
            found[remark.number] = remark.reason
    for _, tables in told.tables:
        batch = tables["arcs"]
        columns = {name: batch.column(name).to_numpy() for name in _COLUMNS}
        for number in np.unique(columns["record"]).tolist():
            rows = columns["record"] == number
            own = {name: column[rows] for name, column in columns.items()}
            found[number - 1] = _sorted(own, model.n_layers, model.n_heads)
    nothing = _sorted(dict.fromkeys(_COLUMNS, np.empty(0, np.int64)), model.n_layers, model.n_heads)
    return [found.get(first[protein.sequence], nothing) for protein in proteins]


def _sorted(columns: dict[str, np.ndarray], n_layers: int, n_heads: int) -> HeadArcs:
    query, key = columns["query"].astype(np.int64) - 1, columns["key"].astype(np.int64) - 1
    weight = columns["weight"].astype(np.float32)
    head = (columns["layer"].astype(np.int64) - 1) * n_heads + columns["head"] - 1
    order = np.lexsort((key, query, -weight, head))
    starts = np.searchsorted(head[order], np.arange(n_layers * n_heads + 1))
    return HeadArcs(
        starts.astype(np.uint32),
        query[order].astype(np.uint16),
        key[order].astype(np.uint16),
        weight[order],
    )
