"""Rows of the tables of single proteins, made from one finished batch.

Text that repeats (ids, numbers of residues) is held as dictionaries until it is written, and so
takes four bytes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from provis_fast.per_protein.schemas import PROTEINS, schemas
from provis_fast.totals import ATTENTION_BITS, VALUE_BITS

if TYPE_CHECKING:
    from provis_fast.accumulate import BatchStatistics
    from provis_fast.measures import Measures
    from provis_fast.packs import Entry, Pack


class ProteinRows:
    """Makes rows.

    Parameters
    ----------
    tables : sequence of str
        Some of `provis_fast.per_protein.schemas.TABLES`.
    measures : Measures

    Attributes
    ----------
    schemas : dict of str to pyarrow.Schema
        Of the tables as they are written in the end.
    """

    def __init__(self, tables: Sequence[str], measures: Measures):
        self.schemas = schemas(tables, measures)
        self._measures = measures
        self._channels = measures.channels

    def of(self, batch: BatchStatistics, pack: Pack, n_prefix: int) -> dict[str, pa.RecordBatch]:
        """Rows of a finished batch, protein by protein in the order of its pack.

        Parameters
        ----------
        batch : BatchStatistics
        pack : Pack
            What the batch was computed from.
        n_prefix : int
            Special tokens in front of the residues of every sequence.

        Returns
        -------
        dict of str to RecordBatch
            By table, every one of `schemas`.
        """
        entries = pack.entries
        found = {}
        for name in self.schemas:
            if name == PROTEINS:
                found[name] = self._proteins(pack)
            elif name == "counts":
                found[name] = self._counts(batch, entries)
            elif name == "received":
                found[name] = self._received(batch, entries, n_prefix)
            else:
                found[name] = self._arcs(batch, entries, n_prefix)
        return found

    def _proteins(self, pack: Pack) -> pa.RecordBatch:
        entries = pack.entries
        numerators, denominators = pack.background
        columns = [
            pa.array([entry.number + 1 for entry in entries], pa.int64()),
            pa.array([entry.id for entry in entries], pa.string()),
            pa.array([_text(entry.source) for entry in entries], pa.string()),
            pa.array([entry.cluster for entry in entries], pa.string()),
            pa.array(pack.n_residues, pa.int32()),
            pa.array(
                [
                    None if numbers is None else [number or None for number in numbers]
                    for numbers in map(_residue_numbers, entries)
                ],
                pa.list_(pa.string()),
            ),
        ]
        channels = self._channels
        scale = np.where(channels.is_value, VALUE_BITS, 0)
        for index, is_known in enumerate(denominators.T > 0):
            known = denominators[:, index]
            columns.append(pa.array(known))
            for numerator in numerators.T[channels.columns(index)]:
                total = np.ldexp(numerator.astype(np.float64), -scale[index])
                share = np.divide(total, known, out=np.zeros(len(known)), where=is_known)
                columns.append(pa.array(share, mask=~is_known))
        return self._batch(PROTEINS, columns)

    def _counts(self, batch: BatchStatistics, entries: Sequence[Entry]) -> pa.RecordBatch:
        measures = self._measures
        n_layers, n_heads = len(measures.layers), measures.n_heads
        kinds: list[float | None] = []  # what each layer of the second axis is: threshold, or mass
        numbers = []  # [S, kinds, layers, heads, K], in units
        units = self._units()
        if (arcs := batch.of_each("arc_counts")) is not None:
            numbers.append(arcs)
            kinds += measures.thresholds
        if (mass := batch.of_each("mass")) is not None:
            numbers.append(mass[:, None])
            kinds.append(None)
        shape = (len(entries), len(kinds), n_layers, n_heads)
        sequence, kind, layer, head = np.indices(shape, dtype=np.int32).reshape(4, -1)
        is_mass = np.array([threshold is None for threshold in kinds])
        columns = [
            *_who(entries, sequence),
            *self._where(layer, head),
            pa.DictionaryArray.from_arrays(
                is_mass[kind].astype(np.int8), pa.array(["arcs", "mass"])
            ),
            pa.array(np.array([threshold or 0.0 for threshold in kinds])[kind], mask=is_mass[kind]),
        ]
        for channel, field in enumerate(list(self.schemas["counts"])[len(columns) :]):
            parts = [
                array[..., channel]
                if pa.types.is_integer(field.type)
                else np.ldexp(array[..., channel].astype(np.float64), -bits)
                for array, bits in zip(numbers, units[:, channel].tolist(), strict=True)
            ]
            columns.append(pa.array(np.concatenate(parts, axis=1).reshape(-1)))
        return self._batch("counts", columns)

    def _units(self) -> np.ndarray:
        """Fraction bits of every channel: of arcs if they are counted, then of mass if it is."""
        channels, weighting = self._channels, self._measures.weighting
        arcs = np.zeros(channels.count, dtype=np.int64)
        arcs[channels.classes[channels.is_value[channels.owner]]] = VALUE_BITS
        mass = np.full(channels.count, ATTENTION_BITS)
        return np.stack([*[arcs] * (weighting != "attention"), *[mass] * (weighting != "arcs")])

    def _received(
        self, batch: BatchStatistics, entries: Sequence[Entry], n_prefix: int
    ) -> pa.RecordBatch:
        whole = batch.of_each("received")  # [layers, heads, tokens]
        n_layers, n_heads = whole.shape[:2]
        begin, pieces = n_prefix, []
        for entry in entries:
            of_protein = whole[:, :, begin : begin + entry.n_residues]
            pieces.append(np.ldexp(of_protein, -ATTENTION_BITS).astype(np.float32).reshape(-1))
            begin += len(entry.tokens)
        lengths = np.repeat([entry.n_residues for entry in entries], n_layers * n_heads)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        shape = (len(entries), n_layers, n_heads)
        sequence, layer, head = np.indices(shape, dtype=np.int32).reshape(3, -1)
        columns = [
            *_who(entries, sequence),
            *self._where(layer, head),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(pieces))),
        ]
        return self._batch("received", columns)

    def _arcs(
        self, batch: BatchStatistics, entries: Sequence[Entry], n_prefix: int
    ) -> pa.RecordBatch:
        found = batch.arcs.sorted(n_prefix)
        columns = [
            *_who(entries, found.sequence),
            pa.array((found.layer + 1).astype(np.int16)),
            pa.array((found.head + 1).astype(np.int16)),
            pa.array(found.query + 1),
            pa.array(found.key + 1),
            pa.array(found.weight),
        ]
        starts = np.cumsum([0, *(entry.n_residues for entry in entries)])[:-1].astype(np.int32)
        names: list[str | None] = []
        for entry in entries:
            names += _residue_numbers(entry) or [None] * entry.n_residues
        unnamed = np.array([not name for name in names], dtype=bool)
        dictionary = pa.array([name or "" for name in names], pa.string())
        for position in (found.query, found.key):
            place = starts[found.sequence] + position
            columns.append(
                pa.DictionaryArray.from_arrays(pa.array(place, mask=unnamed[place]), dictionary)
            )
        return self._batch("arcs", columns)

    def _where(self, layer: np.ndarray, head: np.ndarray) -> list[pa.Array]:
        numbers = np.asarray(self._measures.layers, dtype=np.int16) + 1
        return [pa.array(numbers[layer]), pa.array((head + 1).astype(np.int16))]

    def _batch(self, table: str, columns: Sequence[pa.Array]) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(columns, names=self.schemas[table].names)


def _who(entries: Sequence[Entry], sequence: np.ndarray) -> list[pa.Array]:
    """Columns record and protein of rows about the given sequences of a batch."""
    numbers = np.array([entry.number + 1 for entry in entries], dtype=np.int64)
    ids = pa.array([entry.id for entry in entries], pa.string())
    return [
        pa.array(numbers[sequence]),
        pa.DictionaryArray.from_arrays(pa.array(sequence, pa.int32()), ids),
    ]


def _residue_numbers(entry: Entry) -> list[str] | None:
    """Author numbers of the analysed residues; None where the protein has none."""
    numbers = entry.residue_numbers
    return None if numbers is None else list(numbers[: entry.n_residues])


def _text(name: str) -> str:
    """A name of a file as valid text: bytes that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
