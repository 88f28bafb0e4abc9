"""From proteins to packs: which sequences run together, and everything that a forward pass needs.

A *pack* is one row of tokens, several proteins one after the other without padding. Which proteins
share a pack depends on the input's order and on the token budget alone: records are taken in
blocks, sorted by length within a block, and packed greedily. Preparing packs (tokens, labels,
bitmaps) needs no model and runs in a thread of its own while the model works on earlier packs.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from provis_fast.errors import NOTED, ArgumentError, InputError
from provis_fast.kernel_data import PropertyBatch
from provis_fast.properties.base import Property
from provis_fast.properties.batch import EncodedProtein, build_batch, encode_protein
from provis_fast.proteins import Protein, SetAside

if TYPE_CHECKING:
    from provis_fast.models import Model

logger = logging.getLogger(__name__)

#: Records per block. Small, so that the model starts soon after the first file is read: packs have
#: no padding, and gain nothing from proteins of equal length.
BLOCK_RECORDS = 128
#: What torch and the libraries below it say when memory does not suffice.
_NO_MEMORY = re.compile(
    "out of memory|not enough memory|can't allocate|ALLOC_FAILED", re.IGNORECASE
)


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
        Of the whole protein; see `protein_digest`.
    """

    number: int
    id: str
    source: str
    tokens: np.ndarray
    n_residues: int
    encoded: EncodedProtein
    digest: int


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
    def background(self) -> tuple[np.ndarray, np.ndarray]:
        """Numerators int64 [S, C] and denominators int64 [S, P] of the proteins' backgrounds."""
        return (
            np.stack([entry.encoded.numerators for entry in self.entries]),
            np.stack([entry.encoded.denominators for entry in self.entries]),
        )


class Remark(NamedTuple):
    """Something about one record that belongs in the result: set aside, or a note."""

    number: int
    what: SetAside | str


class PackPlanner:
    """Turns records into packs.

    Parameters
    ----------
    model : Model
        Its tokens and limits are used, never its weights.
    properties : sequence of Property
    batch_tokens : int
        Token budget of a pack. A longer protein has a pack of its own.
    max_length : int, optional
        Keep the first `max_length` residues of each protein.
    every_pair_known : bool
        See `provis_fast.properties.encode_protein`.

    Attributes
    ----------
    total : int or None
        Records altogether, once the whole input has been read.
    trained_residues : int or None
        Length that a model without a limit was trained on.
    longer_than_trained : int
        Proteins longer than that.
    without_token : set of str
        Letters, of the proteins seen so far, for which the model's unknown token stands.
    """

    def __init__(
        self,
        model: Model,
        properties: Sequence[Property],
        *,
        batch_tokens: int,
        max_length: int | None = None,
        every_pair_known: bool = False,
    ):
        self.model, self.properties = model, properties
        self.batch_tokens, self.max_length = batch_tokens, max_length
        self.every_pair_known = every_pair_known
        self.total: int | None = None
        self.longer_than_trained = 0
        self.without_token: set[str] = set()
        # Relative positions have no limit; what such a config says is the length of training.
        positions = model.config.get("max_position_embeddings")
        specials = model.tokens.n_prefix + model.tokens.n_suffix
        # XLNet's config says -1: any length, and nothing of what it was trained on.
        unlimited = model.max_residues is None and positions is not None and positions > 0
        self.trained_residues = positions - specials if unlimited else None

    def __call__(self, records: Iterable[Protein | SetAside]) -> Iterator[Pack | Remark]:
        """Packs, and remarks about records, in an order that depends on the input alone.

        A record that cannot be used becomes a remark; the others go on.
        """
        numbered = enumerate(records)
        read = 0
        last = False
        while not last:
            block = list(islice(numbered, BLOCK_RECORDS))
            last = len(block) < BLOCK_RECORDS
            read += len(block)
            if last:
                self.total = read
            usable: list[tuple[int, Protein, np.ndarray]] = []
            for number, record in block:
                if isinstance(record, SetAside):
                    yield Remark(number, record)
                    continue
                try:
                    usable.append((number, record, self._tokens(record)))
                except InputError as error:
                    yield Remark(number, _failed(record, error))
                except _TooLongError as error:
                    reason = str(error)
                    yield Remark(number, SetAside(record.id, "skipped", reason, record.source))
            lengths = [len(ids) for _, _, ids in usable]
            budget = self.batch_tokens if self.model.packs else 0
            for members in plan_packs(lengths, budget):
                entries = []
                for number, protein, ids in (usable[m] for m in members):
                    try:
                        entries.append(self._encode(number, protein, ids))
                    except (InputError, ArgumentError) as error:
                        yield Remark(number, _failed(protein, error))
                        continue
                    except (MemoryError, RuntimeError) as error:
                        if not is_out_of_memory(error):
                            raise
                        reason = out_of_memory(error)
                        yield Remark(number, SetAside(protein.id, "failed", reason, protein.source))
                        continue
                    yield from self._notes(number, protein)
                if entries:
                    yield from self._packed(entries)

    def _packed(self, entries: list[Entry]) -> Iterator[Pack | Remark]:
        """One pack, or one of each protein where memory does not suffice for them together."""
        try:
            packs = [self.pack(entries)]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            packs, reason = [], out_of_memory(error)
        yield from packs
        if packs:
            return
        if len(entries) > 1:
            for entry in entries:
                yield from self._packed([entry])
        else:
            (entry,) = entries
            yield Remark(entry.number, SetAside(entry.id, "failed", reason, entry.source))

    def pack(self, entries: Sequence[Entry]) -> Pack:
        """Lay proteins one after the other."""
        table = self.model.tokens
        lengths = np.array([len(entry.tokens) for entry in entries], dtype=np.int64)
        ends = np.cumsum(lengths)
        residues = np.ones(int(ends[-1]), dtype=bool)
        for k in range(table.n_prefix):
            residues[ends - lengths + k] = False
        for k in range(table.n_suffix):
            residues[ends - 1 - k] = False
        cu_seqlens = np.concatenate([[0], ends]).astype(np.int32)
        properties = build_batch(
            self.properties, [entry.encoded for entry in entries], len(residues), residues
        )
        if self.model.device.type == "cuda":  # from pinned memory copies need not be waited for
            properties = PropertyBatch._make(
                x.pin_memory() if isinstance(x, Tensor) else x for x in properties
            )
        return Pack(
            tuple(entries),
            self.model.inputs([entry.tokens for entry in entries]),
            torch.from_numpy(cu_seqlens),
            torch.from_numpy(residues),
            properties,
        )

    def _n_residues(self, protein: Protein) -> int:
        return len(protein) if self.max_length is None else min(len(protein), self.max_length)

    def _tokens(self, protein: Protein) -> np.ndarray:
        n, limit = self._n_residues(protein), self.model.max_residues
        if limit is not None and n > limit:
            cut = "" if n == len(protein) else f", of which max_length={n} keeps {n}"
            raise _TooLongError(
                f"{len(protein)} residues{cut}, but {self.model.name} has positions for {limit}; "
                f"cut proteins with max_length={limit} (--max-length {limit}) to keep their start"
            )
        return self.model.tokens.encode(protein.sequence[:n])

    def _encode(self, number: int, protein: Protein, tokens: np.ndarray) -> Entry:
        n = self._n_residues(protein)
        encoded = encode_protein(
            self.properties,
            protein,
            len(tokens),
            slice(self.model.tokens.n_prefix, None),
            n_residues=n,
            every_pair_known=self.every_pair_known,
        )
        digest = protein_digest(protein)
        return Entry(number, protein.id, protein.source, tokens, n, encoded, digest)

    def _notes(self, number: int, protein: Protein) -> Iterator[Remark]:
        for note in protein.notes:
            yield Remark(number, f"{protein.id}: {note}")
        n = self._n_residues(protein)
        if without := self.model.tokens.without_token:
            self.without_token |= without.intersection(protein.sequence[:n])
        if n < len(protein):
            yield Remark(number, f"{protein.id}: cut from {len(protein)} to {n} residues")
        trained = self.trained_residues
        if trained is not None and n > trained:
            self.longer_than_trained += 1
            if self.longer_than_trained == 1:
                logger.warning(
                    "%s: %d residues, more than the %d that %s was trained on; it is analysed all "
                    "the same, and so are others",
                    protein.id,
                    n,
                    trained,
                    self.model.name,
                    extra=NOTED,
                )


def protein_digest(protein: Protein) -> int:
    """64 bits of BLAKE2b over id, line feed and sequence: tells the same protein in two results."""
    text = f"{protein.id}\n{protein.sequence}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def plan_packs(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Share sequences out among packs.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each sequence.
    batch_tokens : int
        Budget; a sequence that exceeds it has a pack of its own.

    Returns
    -------
    list of list of int
        Indices into `lengths`. Short sequences come first; equal lengths keep their order.

    Examples
    --------
    >>> plan_packs([5, 3, 9, 2], batch_tokens=8)
    [[3, 1], [0], [2]]
    """
    packs: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not packs or lengths[index] > room:
            packs.append([])
            room = batch_tokens
        packs[-1].append(index)
        room -= lengths[index]
    return packs


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception says that memory, of the machine or a device, does not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # Torch's CPU allocator, and libraries of GPUs, have no class of their own.
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def out_of_memory(error: Exception) -> str:
    """Reason for a protein that does not fit into memory even alone."""
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"not enough memory for this protein: {first_line[:200]}; cut it with max_length "
        "(--max-length), or use fewer properties, or a larger machine"
    )


class _TooLongError(Exception):
    """A protein does not fit the model's positions."""


def _failed(protein: Protein, error: InputError | ArgumentError) -> SetAside:
    return SetAside(protein.id, "failed", str(error), protein.source)
