"""Parts of a prepared data set: proteins as columns of an Arrow table, and back.

Columns of a part, one row per protein; L is its number of residues:

======================  ============================================================================
``record``              int64: number of the record in the input, from 1
``id``, ``sequence``    text
``source``, ``line``    text, and int64 or null: where the record was read from
``cluster``             text or null
``notes``               list of text
``residue_numbers``     list of text [L] or null
``label:NAME``          list of int8 or int16 [L] or null: `Protein.labels`
``value:NAME``          list of float or double [L] or null: `Protein.values`; float where that is
                        exact for every number of the part
``text:NAME``           text or null: `Protein.text`
``failed``              list of text: "label:NAME" or "value:NAME" of what could not be computed,
                        each followed by the reason
``contacts``            list of uint16 or uint32 [2 N] or null: pairs i < j, one after the other
``resolved``            list of bool [L] or null: residues whose pairs are known
``ca``, ``cb``          list of float [3 L] or null: coordinates in Angstrom
======================  ============================================================================

Columns without any content are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from provis_fast.errors import InputError
from provis_fast.proteins.contact_pairs import ContactPairs
from provis_fast.proteins.prepared_manifest import FORMAT, FORMAT_VERSION, ContactDefinition
from provis_fast.proteins.record import (
    LazyArrays,
    LazyLabels,
    LazyValues,
    Protein,
    plain_protein,
)

#: Tells a part from any other Arrow file.
METADATA = {
    "provis_fast.format": f"{FORMAT}.part",
    "provis_fast.format_version": str(FORMAT_VERSION),
}
#: Rows of one record batch of a part: what is decompressed at a time.
BATCH_ROWS = 1024


class PartRecord(NamedTuple):
    """One protein on its way into a part."""

    number: int
    protein: Protein
    labels: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    text: dict[str, str]
    failed: list[str]
    contacts: ContactPairs | None
    coordinates: bool

    @property
    def n_bytes(self) -> int:
        """About how much it adds to the part."""
        protein = self.protein
        size = len(protein) * (2 + 8 * (protein.residue_numbers is not None))
        size += sum(array.nbytes for array in (*self.labels.values(), *self.values.values()))
        size += sum(map(len, self.text.values()))
        if self.contacts is not None:
            size += self.contacts.pairs.nbytes
        return size + 24 * len(protein) * self.coordinates


def table_of(records: Sequence[PartRecord]) -> pa.Table:
    """The table of a part."""
    proteins = [record.protein for record in records]
    columns: dict[str, pa.Array] = {
        "record": pa.array([record.number + 1 for record in records], pa.int64()),
        "id": pa.array([protein.id for protein in proteins], pa.string()),
        "sequence": pa.array([protein.sequence for protein in proteins], pa.string()),
        "source": pa.array([_encodable(protein.source) for protein in proteins], pa.string()),
        "line": pa.array([protein.line for protein in proteins], pa.int64()),
        "cluster": pa.array([protein.cluster for protein in proteins], pa.string()),
        "notes": pa.array([list(protein.notes) or None for protein in proteins], _TEXTS),
        "residue_numbers": pa.array([_listed(p.residue_numbers) for p in proteins], _TEXTS),
    }
    for name in _names(record.labels for record in records):
        arrays = [record.labels.get(name) for record in records]
        columns[f"label:{name}"] = _lists(arrays, _smallest(arrays, np.int8, np.int16))
    for name in _names(record.values for record in records):
        arrays = [record.values.get(name) for record in records]
        columns[f"value:{name}"] = _lists(arrays, _exact(arrays))
    for name in _names(record.text for record in records):
        texts = [record.text.get(name) for record in records]
        columns[f"text:{name}"] = pa.array(texts, pa.string())
    columns["failed"] = pa.array([record.failed or None for record in records], _TEXTS)
    listed = [record.contacts for record in records]
    pairs = [None if one is None else one.pairs.reshape(-1) for one in listed]
    columns["contacts"] = _lists(pairs, _smallest(pairs, np.uint16, np.uint32))
    columns["resolved"] = _lists([one and one.resolved for one in listed], np.bool_)
    for name in ("ca", "cb"):
        positions = [getattr(r.protein, name) if r.coordinates else None for r in records]
        flat = [None if one is None else one.reshape(-1) for one in positions]
        columns[name] = _lists(flat, np.float32)
    columns = {name: one for name, one in columns.items() if one.null_count < len(one)}
    schema = pa.schema([(name, one.type) for name, one in columns.items()], METADATA)
    return pa.table(list(columns.values()), schema=schema)


_TEXTS = pa.list_(pa.string())


def _encodable(text: str) -> str:
    """Text as UTF-8 can hold it: names of files need not be valid text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _listed(numbers: Sequence[str] | None) -> list[str] | None:
    return None if numbers is None else [_encodable(str(number)) for number in numbers]


def _names(mappings: Iterator[dict[str, Any]]) -> list[str]:
    return sorted({name for mapping in mappings for name in mapping})


def _smallest(arrays: Sequence[np.ndarray | None], small: type, large: type) -> type:
    limits = np.iinfo(small)
    for array in arrays:
        if array is not None and array.size:
            if array.min() < limits.min or array.max() > limits.max:
                return large
    return small


def _exact(arrays: Sequence[np.ndarray | None]) -> type:
    with np.errstate(over="ignore"):
        for array in arrays:
            if array is not None:
                if not np.array_equal(array.astype(np.float32), array, equal_nan=True):
                    return np.float64
    return np.float32


def _lists(arrays: Sequence[np.ndarray | None], dtype: type) -> pa.Array:
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([0 if array is None else len(array) for array in arrays], out=offsets[1:])
    given = [array.astype(dtype, copy=False) for array in arrays if array is not None]
    values = pa.array(np.concatenate([np.empty(0, dtype), *given]))
    missing = np.array([array is None for array in arrays])
    if offsets[-1] > np.iinfo(np.int32).max:
        return pa.LargeListArray.from_arrays(offsets, values, mask=pa.array(missing))
    return pa.ListArray.from_arrays(offsets.astype(np.int32), values, mask=pa.array(missing))


def proteins_of(
    batch: pa.RecordBatch, contacts: ContactDefinition | None
) -> Iterator[tuple[int, Protein]]:
    """Proteins of one batch of a part, with the numbers of their records.

    Parameters
    ----------
    batch : RecordBatch
        Validated in full.
    contacts : ContactDefinition, optional
        What its contacts are.

    Raises
    ------
    InputError
        The batch is not one of such a part, or a row of it is no protein.
    """
    _check_schema(batch.schema, contacts)
    texts = {
        name: batch[name].to_pylist() if name in batch.schema.names else [None] * len(batch)
        for name in ("id", "sequence", "source", "line", "cluster", "notes", "failed")
    }
    numbers = (batch["record"].to_numpy(zero_copy_only=False) - 1).tolist()
    if set(batch.schema.names) <= _PLAIN and _are_plain(batch):
        columns = (texts[name] for name in ("id", "sequence", "source", "line"))
        for number, *plain in zip(numbers, *columns, strict=True):
            yield number, plain_protein(*plain)
        return
    slices = {
        name: _Slices(batch[name])
        for name in batch.schema.names
        if name not in texts and pa.types.is_nested(batch.schema.field(name).type)
    }
    of_kind: dict[str, list[tuple[str, Callable[[int], Any]]]] = {"label": [], "value": []}
    text_columns = []
    for full in batch.schema.names:
        kind, _, name = full.partition(":")
        if kind in of_kind:
            of_kind[kind].append((name, slices[full].array))
        elif kind == "text":
            text_columns.append((name, batch[full].to_pylist()))

    positions = {name: slices[name].array for name in ("ca", "cb") if name in slices}
    pairs, resolved = (
        slices[name].array if name in slices else None for name in ("contacts", "resolved")
    )
    listed = pairs is not None and resolved is not None and contacts is not None
    residue_numbers = slices["residue_numbers"].texts if "residue_numbers" in slices else None
    for row, number in enumerate(numbers):
        found: dict[str, Any] = {}
        failed = texts["failed"][row]
        for kind, columns in of_kind.items():
            if columns or failed is not None:
                arrays = {name: one for name, of in columns if (one := of(row)) is not None}
                found[f"{kind}s"] = _with_failures(arrays, failed, f"{kind}:")
        if text_columns:
            found["text"] = {name: one[row] for name, one in text_columns if one[row] is not None}
        for name, of in positions.items():
            if (flat := of(row)) is not None:
                found[name] = _rows_of(flat, 3, name)
        if listed and (flat := pairs(row)) is not None and (known := resolved(row)) is not None:
            found["contacts"] = ContactPairs(*contacts, _rows_of(flat, 2, "contacts"), known)
        if residue_numbers is not None:
            found["residue_numbers"] = residue_numbers(row)
        if notes := texts["notes"][row]:
            found["notes"] = tuple(notes)
        yield (
            number,
            Protein(
                texts["id"][row],
                texts["sequence"][row],
                source=texts["source"][row] or "",
                line=texts["line"][row],
                cluster=texts["cluster"][row],
                **found,
            ),
        )


#: Columns of proteins of which the sequence is all that is known.
_PLAIN = {"record", "id", "sequence", "source", "line"}


def _are_plain(batch: pa.RecordBatch) -> bool:
    """Whether every row has an id and letters A-Z for a sequence, as `Protein` would check."""
    for name in ("id", "sequence", "source"):
        if name not in batch.schema.names or batch[name].null_count:
            return False
    for name in ("id", "sequence"):
        if (np.diff(_text_offsets(batch[name])) == 0).any():
            return False
    begin, end = _text_offsets(batch["sequence"])[[0, -1]]
    letters = np.frombuffer(batch["sequence"].buffers()[2], np.uint8)[begin:end]
    return bool(len(letters)) and letters.min() >= ord("A") and letters.max() <= ord("Z")


def _text_offsets(column: pa.StringArray) -> np.ndarray:
    """Where each text begins among the letters, and the last one ends; int32 [rows + 1]."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


class _Slices:
    """Lists of one column, row by row, without copying them."""

    def __init__(self, column: pa.Array):
        self._offsets = column.offsets.to_numpy().tolist()
        self._missing = column.is_null().to_numpy(zero_copy_only=False).tolist()
        self._values = column.values
        text = pa.types.is_string(self._values.type)
        self._numbers = None if text else self._values.to_numpy(zero_copy_only=False)

    def array(self, row: int) -> np.ndarray | None:
        if self._missing[row] or self._numbers is None:
            return None
        return self._numbers[self._offsets[row] : self._offsets[row + 1]]

    def texts(self, row: int) -> Sequence[str] | None:
        if self._missing[row]:
            return None
        begin, end = self._offsets[row], self._offsets[row + 1]
        return _Texts(self._values[begin:end])


class _Texts(Sequence):
    """A list of texts that stays in Arrow's memory until somebody looks at it."""

    def __init__(self, values: pa.Array):
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self._values.to_pylist())[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values.to_pylist())

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._values.to_pylist(),)  # not the whole part of which this is a slice


class _Failure:
    """Raises what went wrong when the data set was prepared."""

    def __init__(self, reason: str):
        self.reason = reason

    def __call__(self) -> np.ndarray:
        raise InputError(self.reason)


def _with_failures(
    ready: dict[str, np.ndarray], failed: list[str] | None, kind: str
) -> dict[str, np.ndarray] | LazyArrays:
    """Arrays by name, and what could not be computed: it fails when it is asked for."""
    found = {} if failed is None else dict(zip(failed[::2], failed[1::2], strict=False))
    deferred = {
        name.removeprefix(kind): _Failure(reason)
        for name, reason in found.items()
        if name.startswith(kind)
    }
    if not deferred:
        return ready
    lazy, dtype = (LazyLabels, np.int16) if kind == "label:" else (LazyValues, np.float64)
    return lazy({name: array.astype(dtype) for name, array in ready.items()}, deferred)


def _rows_of(flat: np.ndarray, width: int, name: str) -> np.ndarray:
    if len(flat) % width:
        raise InputError(f"{name}: expected {width} numbers in each row, got {len(flat)} in all")
    return flat.reshape(-1, width)


def _check_schema(schema: pa.Schema, contacts: ContactDefinition | None) -> None:
    """InputError unless this is the schema of a part."""
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    if metadata.get("provis_fast.format") != METADATA["provis_fast.format"]:
        raise InputError("not a part of a prepared data set: its schema does not say so")
    if len(set(schema.names)) != len(schema.names):
        raise InputError("expected columns of different names; the part is damaged")
    for name in ("record", "id", "sequence"):
        if name not in schema.names:
            raise InputError(f"expected the column {name!r}; the part is damaged")
    for field in schema:
        kind = field.name.partition(":")[0]
        if field.type not in _TYPES.get(kind, ()):
            raise InputError(
                f"column {field.name!r}: a part has no such column of type {field.type}; the part "
                "is damaged"
            )
    if "contacts" in schema.names and contacts is None:
        raise InputError("contacts, which the manifest does not define; the data set is damaged")


def _list_types(*types: pa.DataType) -> tuple[pa.DataType, ...]:
    return tuple(kind(one) for one in types for kind in (pa.list_, pa.large_list))


_TYPES: dict[str, tuple[pa.DataType, ...]] = {
    **dict.fromkeys(("record", "line"), (pa.int64(),)),
    **dict.fromkeys(("id", "sequence", "source", "cluster", "text"), (pa.string(),)),
    **dict.fromkeys(("notes", "residue_numbers", "failed"), (_TEXTS,)),
    "label": _list_types(pa.int8(), pa.int16()),
    "value": _list_types(pa.float32(), pa.float64()),
    "contacts": _list_types(pa.uint16(), pa.uint32()),
    "resolved": _list_types(pa.bool_()),
    "ca": _list_types(pa.float32()),
    "cb": _list_types(pa.float32()),
}
