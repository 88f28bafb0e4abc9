"""The list of arcs of one batch, over all analysed layers, as the kernels fill it.

One list serves all layers: they run one after the other, and the total after each tells where its
arcs end. The list has room for every arc that there can be, (1 + 1e-4) / threshold a row at most,
unless that takes more than `MAX_BYTES`. Then it may overflow, and the engine discards the batch and
runs it again in halves; the list of a single protein is made as large as its total says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from provis_fast.gpu_paths import candidates
from provis_fast.measures import Measures

#: Memory of one batch's list, for all layers together; a single protein may take more.
MAX_BYTES = 256 << 20
#: Four int32 and a float32.
BYTES_PER_ARC = 20


class SortedArcs(NamedTuple):
    """Arcs of a batch, all numbers from 0; int32 [N] each, and weight float32 [N].

    Attributes
    ----------
    sequence : ndarray
        Protein, as its place in the batch.
    layer, head : ndarray
    query, key : ndarray
        Residues of the protein.
    weight : ndarray
    """

    sequence: np.ndarray
    layer: np.ndarray
    head: np.ndarray
    query: np.ndarray
    key: np.ndarray
    weight: np.ndarray


class ArcOverflowError(Exception):
    """A batch has more arcs, `total` in all, than its list has room for."""

    def __init__(self, total: int):
        super().__init__(f"{total} arcs")
        self.total = total


class ArcList:
    """Room for the arcs of a batch.

    Parameters
    ----------
    layers : sequence of int
        Analysed layers, ascending; they have to run in this order.
    room : int
        Arcs.
    device : torch.device
    """

    def __init__(self, layers: Sequence[int], room: int, device: torch.device):
        self._layers = np.asarray(layers, dtype=np.int64)
        self._index = torch.empty((room, 4), dtype=torch.int32, device=device)
        self._weight = torch.empty(room, dtype=torch.float32, device=device)
        # The running total, and what it was after each layer.
        self._totals = torch.zeros(len(layers) + 1, dtype=torch.int64, device=device)

    def accumulators(self) -> dict[str, Tensor]:
        """Arguments of `provis_fast.ops.attention_statistics_`."""
        return {
            "arc_index": self._index,
            "arc_weight": self._weight,
            "arc_total": self._totals[:1],
        }

    def end_layer(self, row: int) -> None:
        """Remember where the arcs of a layer, the `row`-th analysed one, end."""
        self._totals[row + 1].copy_(self._totals[0])

    def sorted(self, n_prefix: int) -> SortedArcs:
        """The arcs of a finished batch, sorted by all that names them.

        Parameters
        ----------
        n_prefix : int
            Special tokens in front of the residues of every sequence.
        """
        total, *ends = self._totals.tolist()
        layer = np.repeat(self._layers, np.diff([0, *ends])).astype(np.int32)
        sequence, head, query, key = self._index[:total].cpu().numpy().T
        weight = self._weight[:total].cpu().numpy()
        columns = (sequence, layer, head, query - n_prefix, key - n_prefix)
        order = np.lexsort(columns[::-1])
        return SortedArcs(*(column[order] for column in columns), weight[order])

    def check(self) -> None:
        """Wait for the device; ArcOverflowError if there were more arcs than room."""
        total = int(self._totals[0])
        if total > len(self._weight):
            raise ArcOverflowError(total)


def arc_room(measures: Measures, n_residues: np.ndarray, max_bytes: int) -> int:
    """Arcs that a batch's list has room for: all that there can be, as far as memory allows.

    Parameters
    ----------
    measures : Measures
    n_residues : ndarray, int [S]
        Residues of each sequence.
    max_bytes : int

    Examples
    --------
    >>> from provis_fast.measures import Measures
    >>> measures = Measures.checked((), 0.3, None, n_layers=2, n_heads=4)
    >>> arc_room(measures, np.array([10, 2]), 10**6), arc_room(measures, np.array([10, 2]), 100)
    (272, 5)
    """
    in_a_row = np.minimum(candidates(min(measures.thresholds)), n_residues)
    rows = len(measures.layers) * measures.n_heads
    return max(1, min(rows * int((n_residues * in_a_row).sum()), max_bytes // BYTES_PER_ARC))
