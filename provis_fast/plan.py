"""From proteins to packs: which sequences run together, and everything that a forward pass needs.

A *pack* is one row of tokens, several proteins one after the other without padding. Which proteins
share a pack depends on the input's order and on the token budget alone: records are taken in
blocks (`provis_fast.units`), sorted by length within a block, and packed greedily. A protein that
then turns out to be of no use leaves a gap in its pack. Preparing packs (tokens, labels, bitmaps)
needs no model and runs in a thread of its own while the model works on earlier ones.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from provis_fast import errors
from provis_fast.errors import ArgumentError, InputError
from provis_fast.kernel_data import PropertyBatch
from provis_fast.memory_errors import is_out_of_memory, out_of_memory
from provis_fast.packs import Entry, Pack, Prepared, halves
from provis_fast.properties.base import Property
from provis_fast.properties.batch import build_batch, encode_protein
from provis_fast.proteins import Protein, SetAside
from provis_fast.resampling import circular_shifts
from provis_fast.stages import Stages
from provis_fast.units import NOTED, Block, Remark, Unit, blocks

if TYPE_CHECKING:
    from provis_fast.models import Model

logger = logging.getLogger(__name__)

#: Bitmaps of one protein with all permutations.
MAX_MAP_BYTES = 1 << 30


class PackPlanner:
    """Plans the units of an input, and prepares them to be run.

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
    permutations : int
        Copies of the properties' labels to make, each shifted along the protein.
    most_sequences : int, optional
        Proteins of a pack.
    stages : Stages, optional
        Where the time that `prepare` takes is told.

    Attributes
    ----------
    trained_residues : int or None
        Length that a model without a limit was trained on.
    """

    def __init__(
        self,
        model: Model,
        properties: Sequence[Property],
        *,
        batch_tokens: int,
        max_length: int | None = None,
        every_pair_known: bool = False,
        permutations: int = 0,
        most_sequences: int | None = None,
        stages: Stages | None = None,
    ):
        self.model, self.properties = model, properties
        self.stages = stages or Stages()
        self.batch_tokens, self.max_length = batch_tokens, max_length
        self.every_pair_known = every_pair_known
        self.permutations, self.most_sequences = permutations, most_sequences
        self._warned = False
        # Relative positions have no limit; what such a config says is the length of training.
        positions = model.config.get("max_position_embeddings")
        self._specials = model.tokens.n_prefix + model.tokens.n_suffix
        # XLNet's config says -1: any length, and nothing of what it was trained on.
        unlimited = model.max_residues is None and positions is not None and positions > 0
        self.trained_residues = positions - self._specials if unlimited else None

    def units(self, block: Block) -> list[Unit]:
        """Units of a block: remarks about records that are in no pack, then the packs.

        Lengths alone are looked at, so that units of others, or done already, cost nothing. Each
        of them is analysed by `prepare` in the company that was planned here, less those that turn
        out to be of no use.
        """
        remarks: list[Remark] = []
        usable: list[tuple[int, Protein]] = []
        for number, record in enumerate(block.records, start=block.first):
            if isinstance(record, SetAside):
                remarks.append(Remark.of(number, record))
            elif reason := self._too_long(record):
                remarks.append(
                    Remark(number, record.id, "skipped", reason, record.source, record.line)
                )
            else:
                usable.append((number, record))
        lengths = [self._n_residues(protein) + self._specials for _, protein in usable]
        budget = self.batch_tokens if self.model.packs else 0
        packs = plan_packs(lengths, budget, self.most_sequences)
        return [
            Unit((block.index, 0), tuple(remarks), ()),
            *(
                Unit((block.index, part), (), tuple(usable[m] for m in members))
                for part, members in enumerate(packs, start=1)
            ),
        ]

    def prepare(self, unit: Unit) -> Prepared:
        """Tokens, labels and bitmaps of a unit.

        A protein that cannot be used becomes a remark; the others go on without it.
        """
        with self.stages.timed("featurise", unit=unit.name) as span:
            prepared = self._prepare(unit)
            tokens = sum(pack.n_tokens for pack in prepared.packs)
            span.count(proteins=len(unit.members), tokens=tokens)
        return prepared

    def _prepare(self, unit: Unit) -> Prepared:
        entries: list[Entry] = []
        remarks = list(unit.remarks)
        counted: dict[str, int] = {}
        for number, protein in unit.members:
            try:
                entries.append(self._encode(number, protein))
            except (InputError, ArgumentError) as error:
                remarks.append(
                    Remark(number, protein.id, "failed", str(error), protein.source, protein.line)
                )
                continue
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = out_of_memory(error)
                remarks.append(
                    Remark(number, protein.id, "failed", reason, protein.source, protein.line)
                )
                continue
            remarks.extend(self._notes(number, protein))
            for template in self._counted(protein):
                counted[template] = counted.get(template, 0) + 1
        packs = tuple(self._packed(entries, remarks))
        return Prepared(unit.key, packs, tuple(remarks), counted)

    def packs(self, records: Iterable[Protein | SetAside]) -> Iterator[Pack]:
        """All packs of an input, in order; what is set aside is left out."""
        for block in blocks(records):
            for unit in self.units(block):
                yield from self.prepare(unit).packs

    def _packed(self, entries: list[Entry], remarks: list[Remark]) -> Iterator[Pack]:
        """One pack, or several where memory does not suffice for all together."""
        if not entries:
            return
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
            for half in halves(entries):
                yield from self._packed(half, remarks)
        else:
            (entry,) = entries
            remarks.append(Remark(entry.number, entry.id, "failed", reason, entry.source))

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
            self.properties,
            [entry.encoded for entry in entries],
            len(residues),
            residues,
            permutations=self.permutations,
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

    def _too_long(self, protein: Protein) -> str | None:
        """Why the model has no place for a protein, if so."""
        n, limit = self._n_residues(protein), self.model.max_residues
        if limit is None or n <= limit:
            return None
        cut = "" if n == len(protein) else f", of which max_length={n} keeps {n}"
        return (
            f"{len(protein)} residues{cut}, but {self.model.name} has positions for {limit}; "
            f"cut proteins with max_length={limit} (--max-length {limit}) to keep their start"
        )

    def _encode(self, number: int, protein: Protein) -> Entry:
        n = self._n_residues(protein)
        tokens = self.model.tokens.encode(protein.sequence[:n])
        digest = protein_digest(protein)
        self._check_maps(protein, len(tokens))
        encoded = encode_protein(
            self.properties,
            protein,
            len(tokens),
            slice(self.model.tokens.n_prefix, None),
            n_residues=n,
            every_pair_known=self.every_pair_known,
            shifts=circular_shifts(
                np.array([digest], dtype=np.uint64), np.array([n]), self.permutations
            )[0],
        )
        return Entry(
            number,
            protein.id,
            protein.source,
            tokens,
            n,
            encoded,
            digest,
            protein.cluster,
            protein.residue_numbers,
        )

    def _check_maps(self, protein: Protein, n_tokens: int) -> None:
        """InputError where the bitmaps of all permutations would fill the memory."""
        n_maps = self.permutations * sum(prop.kind == "pair" for prop in self.properties)
        size = n_maps * 2 * n_tokens * (4 * -(-n_tokens // 32))
        if size > MAX_MAP_BYTES:
            raise InputError(
                f"protein {protein.id!r}: expected maps of residue pairs, shifted by every "
                f"permutation, of at most {MAX_MAP_BYTES >> 20:,} MiB, got {size >> 20:,}; ask for "
                "fewer permutations, or cut proteins with max_length (--max-length)"
            )

    def _notes(self, number: int, protein: Protein) -> Iterator[Remark]:
        n = self._n_residues(protein)
        texts = list(protein.notes)
        if n < len(protein):
            texts.append(f"cut from {len(protein)} to {n} residues")
        for text in texts:
            yield Remark(number, protein.id, NOTED, text, protein.source, protein.line)

    def _counted(self, protein: Protein) -> Iterator[str]:
        """Notes on the model, or on the options, that this protein is a case of."""
        n = self._n_residues(protein)
        if self.permutations and n == 1:
            yield (
                "permutations: {n} protein(s) of a single residue, which has no other place: they "
                "count as they were observed"
            )
        for letter in sorted(self.model.tokens.without_token.intersection(protein.sequence[:n])):
            yield (
                f"{self.model.name} has no token for {letter}: its unknown token stands for this "
                "residue in {n} protein(s)"
            )
        trained = self.trained_residues
        if trained is None or n <= trained:
            return
        if not self._warned:
            self._warned = True
            logger.warning(
                "%s: %d residues, more than the %d that %s was trained on; it is analysed all "
                "the same, and so are others",
                protein.id,
                n,
                trained,
                self.model.name,
                extra=errors.NOTED,
            )
        yield (
            f"{{n}} protein(s) longer than the {trained} residues that the model was trained on; "
            "its positions have no limit, so they were analysed"
        )


def protein_digest(protein: Protein) -> int:
    """64 bits of BLAKE2b over id, line feed and sequence: tells the same protein in two results."""
    text = f"{protein.id}\n{protein.sequence}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def plan_packs(
    lengths: Sequence[int], batch_tokens: int, most: int | None = None
) -> list[list[int]]:
    """Share sequences out among packs.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each sequence.
    batch_tokens : int
        Budget; a sequence that exceeds it has a pack of its own.
    most : int, optional
        Sequences of a pack.

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
        if not packs or lengths[index] > room or len(packs[-1]) == most:
            packs.append([])
            room = batch_tokens
        packs[-1].append(index)
        room -= lengths[index]
    return packs
