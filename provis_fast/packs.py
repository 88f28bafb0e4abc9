"""What runs together: proteins that are ready, packs of them, and units of packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from provis_fast.kernel_data import PropertyBatch
from provis_fast.properties.batch import EncodedProtein
from provis_fast.units import Remark, UnitKey

T = TypeVar("T")


class Entry(NamedTuple):
    """One protein, ready to run.

    Attributes
    ----------
    number : int
        Its place in the input, from 0.
    id, source : str
    tokens : ndarray, int64 [n]
        Special tokens included.
    n_residues : int
    encoded : EncodedProtein
    digest : int
        Of the whole protein; see `provis_fast.plan.protein_digest`.
    cluster : str or None
    residue_numbers : sequence of str or None
        Of the whole protein; see `Protein`.
    """

    number: int
    id: str
    source: str
    tokens: np.ndarray
    n_residues: int
    encoded: EncodedProtein
    digest: int
    cluster: str | None = None
    residue_numbers: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Pack:
    """Proteins that run together, and the inputs of their forward pass; T tokens, S proteins.

    Attributes
    ----------
    entries : tuple of Entry
    inputs : dict of Tensor
        Keyword arguments of the model's forward, [1, T].
    cu_seqlens : Tensor, int32 [S + 1]
    residues : Tensor, bool [T]
    properties : PropertyBatch
    """

    entries: tuple[Entry, ...]
    inputs: dict[str, Tensor]
    cu_seqlens: Tensor
    residues: Tensor
    properties: PropertyBatch

    @property
    def n_tokens(self) -> int:
        """Tokens T."""
        return self.residues.shape[0]

    @property
    def longest(self) -> int:
        """Tokens of the longest protein."""
        return max(len(entry.tokens) for entry in self.entries)

    @property
    def n_residues(self) -> np.ndarray:
        """Residues of each protein, int64 [S]."""
        return np.array([entry.n_residues for entry in self.entries], dtype=np.int64)

    @property
    def digests(self) -> np.ndarray:
        """Digests of the proteins, uint64 [S]."""
        return np.array([entry.digest for entry in self.entries], dtype=np.uint64)

    @property
    def background(self) -> tuple[np.ndarray, np.ndarray]:
        """Numerators int64 [S, C] and denominators int64 [S, P] of the proteins' backgrounds."""
        return (
            np.stack([entry.encoded.numerators for entry in self.entries]),
            np.stack([entry.encoded.denominators for entry in self.entries]),
        )


class Prepared(NamedTuple):
    """A unit that is ready to run.

    Attributes
    ----------
    key : UnitKey
    packs : tuple of Pack
        Usually one. None where all its proteins were set aside; several where memory did not
        suffice to lay them side by side.
    remarks : tuple of Remark
    counted : dict of str to int
        Notes that count proteins; see `HeadStatistics.count`.
    """

    key: UnitKey
    packs: tuple[Pack, ...]
    remarks: tuple[Remark, ...]
    counted: dict[str, int]


def halves(entries: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The first half of some proteins, and the others."""
    middle = len(entries) // 2
    return entries[:middle], entries[middle:]
