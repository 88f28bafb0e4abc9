"""Columns of the tables of single proteins.

=================  ===============  =============================================================
column             type             what
=================  ===============  =============================================================
record             int64            number of the record in the input, from 1
protein            string           id of the protein
layer, head        int16            counted from 1
source             string           name of the file that the protein was read from
cluster            string or null   the protein's group (`Protein.cluster`)
residues           int32            residues analysed
residue_numbers    list<string>     the structure's author numbers of the residues, insertion codes
                   or null          included ("52A"); null where there are none
known:P            int64            residues (kinds of pairs: pairs) for which P is known
background:P:C     double or null   share of them in class C; for key values the mean of the values
statistic          string           "arcs", or "mass": attention-weighted
threshold          double or null   of arcs; null for mass
arcs               int64 or double  arcs; for mass the attention between residues
eligible:P         int64 or double  arcs (attention) on pairs for which P is known
count:P:C          int64 or double  arcs (attention) of class C; for key values the sum of values
received           list<float>      one number per residue j: the sum over the protein's residues i,
                                    j among them, of the attention a[i, j]. The softmax runs over
                                    all tokens, special ones too; the sum does not.
query, key         int32            position in the analysed sequence, from 1
weight             float            attention, the (least) threshold or more
query_residue,     string or null   the structure's author number of the residue, insertion code
key_residue                         included; null where the protein has none there
=================  ===============  =============================================================

Numbers are int64 where the analysis counts arcs alone (``weighting="arcs"``), but for sums of
values, and doubles otherwise. The doubles are multiples of 2**-32 (sums of values over arcs:
2**-16), and exact up to 2**53 of these units; so sums over proteins are those of the result.

Every file's metadata carry ``provis_fast.format`` and ``provis_fast.format_version``; files of
counts and of proteins have in ``provis_fast.columns`` as JSON which property and class each of
their columns holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from provis_fast import arcs
from provis_fast.errors import ArgumentError

if TYPE_CHECKING:
    from provis_fast.measures import Measures

FORMAT = "provis_fast.per_protein"
FORMAT_VERSION = 1
PROTEINS = "proteins"
#: Tables that can be asked for.
REQUESTABLE = ("counts", "received", "arcs")
TABLES = (PROTEINS, *REQUESTABLE)

_HEADS = (
    pa.field("layer", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
    pa.field("head", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
)
_RECORD = (
    pa.field("record", pa.int64(), nullable=False, metadata={"note": "counted from 1"}),
    pa.field("protein", pa.string(), nullable=False),
)


class ClassColumn(NamedTuple):
    """What a column of a property holds.

    Attributes
    ----------
    name : str
        Of the column.
    quantity : {"eligible", "count", "known", "background"}
    property : str
    class_name : str or None
        None where the number is that of the property as a whole.
    kind : str
        The property's.
    """

    name: str
    quantity: str
    property: str
    class_name: str | None
    kind: str


def check_tables(tables: str | Iterable[str], weighting: str) -> tuple[str, ...]:
    """Tables from a user's argument, `PROTEINS` first; none is none.

    Raises
    ------
    ArgumentError
        Other names, or arcs of an analysis that knows none.
    """
    given = [tables] if isinstance(tables, str) else list(tables)
    if unknown := [name for name in given if name not in REQUESTABLE]:
        raise ArgumentError(
            f"per_protein: expected some of {', '.join(REQUESTABLE)}, got {unknown[0]!r}"
        )
    if "arcs" in given and weighting == "attention":
        raise ArgumentError(
            'arcs: expected only with weighting="arcs" or "both", as only these know arcs; got '
            f"weighting={weighting!r}"
        )
    return tuple(name for name in TABLES if name in given or (given and name == PROTEINS))


def schemas(tables: Sequence[str], measures: Measures) -> dict[str, pa.Schema]:
    """Schemas of some of `TABLES`, by name."""
    make = {
        PROTEINS: lambda: _proteins(measures),
        "counts": lambda: _counts(measures),
        "received": _received,
        "arcs": lambda: arcs.SCHEMA,
    }
    return {name: make[name]() for name in tables}


def count_columns(measures: Measures) -> list[ClassColumn]:
    """Columns of counts after ``arcs``, in the order of the kernels' channels."""
    return _columns(measures, "eligible", "count")


def background_columns(measures: Measures) -> list[ClassColumn]:
    """Columns of proteins after ``residue_numbers``."""
    return _columns(measures, "known", "background")


def _columns(measures: Measures, whole: str, each: str) -> list[ClassColumn]:
    columns = []
    for prop in measures.properties:
        columns.append(ClassColumn(f"{whole}:{prop.name}", whole, prop.name, None, prop.kind))
        columns += [
            ClassColumn(f"{each}:{prop.name}:{name}", each, prop.name, name, prop.kind)
            for name in prop.classes
        ]
    return columns


def _counts(measures: Measures) -> pa.Schema:
    number = pa.int64() if measures.weighting == "arcs" else pa.float64()
    columns = count_columns(measures)

    def is_sum(column: ClassColumn) -> bool:
        return column.kind == "key_value" and column.class_name is not None

    return pa.schema(
        [
            *_RECORD,
            *_HEADS,
            pa.field("statistic", pa.string(), nullable=False),
            pa.field("threshold", pa.float64(), metadata={"note": "null for mass"}),
            pa.field("arcs", number, nullable=False),
            *(
                pa.field(column.name, pa.float64() if is_sum(column) else number, nullable=False)
                for column in columns
            ),
        ],
        metadata=_metadata("counts", columns),
    )


def _proteins(measures: Measures) -> pa.Schema:
    columns = background_columns(measures)
    return pa.schema(
        [
            *_RECORD,
            pa.field("source", pa.string(), nullable=False),
            pa.field("cluster", pa.string()),
            pa.field("residues", pa.int32(), nullable=False),
            pa.field("residue_numbers", pa.list_(pa.string())),
            *(
                pa.field(column.name, pa.int64(), nullable=False)
                if column.quantity == "known"
                else pa.field(column.name, pa.float64())
                for column in columns
            ),
        ],
        metadata=_metadata(PROTEINS, columns),
    )


def _received() -> pa.Schema:
    attention = pa.list_(pa.field("element", pa.float32(), nullable=False))
    return pa.schema(
        [*_RECORD, *_HEADS, pa.field("received", attention, nullable=False)],
        metadata=_metadata("received", None),
    )


def _metadata(table: str, columns: list[ClassColumn] | None) -> dict[str, str]:
    found = {
        "provis_fast.format": f"{FORMAT}.{table}",
        "provis_fast.format_version": str(FORMAT_VERSION),
    }
    if columns is not None:
        legend = {
            column.name: {
                "quantity": column.quantity,
                "property": column.property,
                "class": column.class_name,
                "kind": column.kind,
            }
            for column in columns
        }
        found["provis_fast.columns"] = json.dumps(legend, ensure_ascii=False)
    return found
