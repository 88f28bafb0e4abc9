"""Reading the tables of single proteins."""

from __future__ import annotations

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from provis_fast import arcs
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.per_protein.folders import NAME
from provis_fast.per_protein.schemas import FORMAT, FORMAT_VERSION, PROTEINS, TABLES

_SHARD = ds.partitioning(pa.schema([("shard", pa.string())]), flavor="hive")


def per_protein_dataset(folder: str | PathLike[str], table: str) -> ds.Dataset:
    """One table of single proteins, all parts of it together, as a data set that is read lazily.

    Parameters
    ----------
    folder : str or path
        Of a result with such tables, or of the tables themselves (`per_protein_folder`).
    table : {"proteins", "counts", "received", "arcs"}

    Returns
    -------
    pyarrow.dataset.Dataset
        Columns as in `provis_fast.per_protein.schemas`, and ``shard``.

    Raises
    ------
    ArgumentError
        Another table.
    ResultError
        The folder has no such table, or one of another version.
    """
    if table not in TABLES:
        raise ArgumentError(f"table: expected one of {', '.join(TABLES)}, got {table!r}")
    folder = Path(folder)
    places = [folder / NAME / table, folder / table]
    place = next((place for place in places if any(place.glob("shard=*/*.parquet"))), None)
    if place is None:
        raise ResultError(
            f"{folder}: there is no table {table} of single proteins here; give the folder of a "
            f"result of an analysis with --per-protein {'counts' if table == PROTEINS else table}"
        )
    try:
        found = ds.dataset(place, format="parquet", partitioning=_SHARD)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{place}: cannot be read ({error})") from error
    metadata = found.schema.metadata or {}
    is_arcs = table == "arcs"
    expected = (
        arcs.FORMAT if is_arcs else f"{FORMAT}.{table}",
        str(arcs.FORMAT_VERSION if is_arcs else FORMAT_VERSION),
    )
    got = tuple(metadata.get(f"provis_fast.{key}".encode(), b"none").decode() for key in _KEYS)
    if got != expected:
        raise ResultError(
            f"{place}: expected {expected[0]} version {expected[1]}, got {got[0]} version "
            f"{got[1]}; use the release of provis_fast that wrote it"
        )
    return found


_KEYS = ("format", "format_version")


def read_per_protein(
    folder: str | PathLike[str],
    table: str,
    *,
    proteins: str | Iterable[str] | None = None,
    properties: str | Iterable[str] | None = None,
) -> pa.Table:
    """Read a table of single proteins into memory; counts in long form.

    Parameters
    ----------
    folder : str or path
        Of a result with such tables, or of the tables themselves (`per_protein_folder`).
    table : {"proteins", "counts", "received", "arcs"}
    proteins : str or iterable of str, optional
        Ids: read no others.
    properties : str or iterable of str, optional
        With "counts": read those of no others.

    Returns
    -------
    pyarrow.Table
        Layers, heads, records and positions counted from 1. "counts" has the columns of heads.csv
        for single proteins, one row per protein, layer, head, property, class, statistic and
        threshold: record, protein, layer, head, property, class, statistic, threshold, arcs,
        eligible, count, background, shard; background is the protein's own, null where nothing is
        known. Others have the columns of `provis_fast.per_protein.schemas`, and shard.

    Raises
    ------
    ArgumentError
        Another table, or a property that it does not have.
    ResultError
        The folder has no such table, or one of another version.

    Examples
    --------
    >>> import provis_fast as pf
    >>> counts = pf.read_per_protein("out", "counts", properties="contact")  # doctest: +SKIP
    >>> counts.to_pandas().groupby(["layer", "head"])["count"].sum()  # doctest: +SKIP
    """
    found = per_protein_dataset(folder, table)
    rows = None
    if proteins is not None:
        ids = [proteins] if isinstance(proteins, str) else list(proteins)
        rows = ds.field("protein").isin(pa.array(ids, pa.string()))
    if properties is not None and table != "counts":
        raise ArgumentError(f'properties: expected only with table="counts", got {table!r}')
    try:
        if table != "counts":
            return found.to_table(filter=rows)
        chosen = _chosen(found.schema, properties)
        names = [name for names in chosen.values() for name in names]
        wide = found.to_table(columns=[*_ROW, *names, "shard"], filter=rows)
        shares = per_protein_dataset(folder, PROTEINS).to_table(
            columns=[
                "record",
                "shard",
                *(name.replace("count:", "background:", 1) for name in names if _is_count(name)),
            ],
            filter=rows,
        )
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{folder}: {table} cannot be read ({error})") from error
    return _long(wide, shares, chosen, json.loads(found.schema.metadata[b"provis_fast.columns"]))


#: Columns that every row of counts has.
_ROW = ("record", "protein", "layer", "head", "statistic", "threshold", "arcs")
_LONG = (
    "record",
    "protein",
    "layer",
    "head",
    "property",
    "class",
    "statistic",
    "threshold",
    "arcs",
    "eligible",
    "count",
    "background",
    "shard",
)


def _is_count(column: str) -> bool:
    return column.startswith("count:")


def _chosen(schema: pa.Schema, properties: str | Iterable[str] | None) -> dict[str, list[str]]:
    """Columns of each property: of its eligible arcs first, then of each class."""
    by_property: dict[str, list[str]] = {}
    for column, what in json.loads(schema.metadata[b"provis_fast.columns"]).items():
        by_property.setdefault(what["property"], []).append(column)
    if properties is None:
        return by_property
    names = [properties] if isinstance(properties, str) else list(properties)
    if unknown := [name for name in names if name not in by_property]:
        raise ArgumentError(
            f"properties: expected some of {', '.join(by_property) or 'none'}, got {unknown[0]!r}"
        )
    return {name: by_property[name] for name in names}


def _long(
    wide: pa.Table,
    shares: pa.Table,
    chosen: dict[str, list[str]],
    legend: dict[str, dict[str, str | None]],
) -> pa.Table:
    row_of = _rows_of(wide, shares)
    whole = all(
        pa.types.is_integer(wide.schema.field(name).type)
        for names in chosen.values()
        for name in names
    )
    number = pa.int64() if whole else pa.float64()
    pieces = []

    def add(property_name: str | None, class_name: str | None, *numbers: pa.ChunkedArray) -> None:
        names = (pa.scalar(name, pa.string()) for name in (property_name, class_name))
        columns = {name: wide[name] for name in (*_ROW, "shard")}
        columns["property"], columns["class"] = (pa.repeat(name, len(wide)) for name in names)
        columns |= zip(("eligible", "count", "background"), numbers, strict=True)
        pieces.append(pa.table([columns[name] for name in _LONG], names=_LONG))

    for name, (eligible, *counts) in chosen.items():
        for column in counts:
            share = shares[column.replace("count:", "background:", 1)].take(row_of)
            class_name = legend[column]["class"]
            add(name, class_name, wide[eligible], wide[column].cast(number), share)
    if not chosen:
        nothing = pa.nulls(len(wide), pa.float64())
        add(None, None, nothing, nothing, nothing)
    return pa.concat_tables(pieces)


def _rows_of(wide: pa.Table, shares: pa.Table) -> pa.Array:
    """Row of `shares` that is about the protein of each row of `wide`."""
    shards = pc.unique(shares["shard"])
    numbers = [
        pc.index_in(table["shard"], shards).fill_null(-1).to_numpy().astype(np.int64) << 48
        | table["record"].to_numpy()
        for table in (wide, shares)
    ]
    order = np.argsort(numbers[1])
    place = np.searchsorted(numbers[1], numbers[0], sorter=order)
    found = order[np.minimum(place, len(order) - 1)] if len(order) else place
    if not np.array_equal(numbers[1][found] if len(order) else numbers[1], numbers[0]):
        raise ResultError(
            "counts: rows of proteins that the table proteins does not have; the parts of these "
            "tables come from different analyses"
        )
    return pa.array(found)
