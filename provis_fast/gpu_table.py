"""Measured times of the ways in which a GPU can serve a call: ``data/gpu_paths.json``.

The file is an object of

``format``, ``format_version``
    `FORMAT` and `FORMAT_VERSION`.
``rows``
    A list, in which every row is an object of

    ==============  =======================  =====================================================
    key             value                    what
    ==============  =======================  =====================================================
    ``capability``  [major, minor]           compute capability of the GPU
    ``gpu``         string                   its name, for readers
    ``dtype``       "bfloat16", "float16"    of query, key and value
    ``head_size``   integer from 1 to 256    as measured
    ``length``      integer from 1           tokens of each sequence
    ``statistics``  one of `STATISTICS`      what was measured along with attention
    ``ms``          {path: number > 0}       milliseconds of the whole call, by `PATHS`
    ==============  =======================  =====================================================

``benchmarks/choices.py`` writes it. Without a row for a GPU, a rule that needs no measurement
decides (`provis_fast.gpu_paths`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from numbers import Real
from typing import Any, NamedTuple

from provis_fast.errors import ProvisError

FORMAT = "provis_fast.gpu_paths"
FORMAT_VERSION = 1
#: Ways of unmasked calls in 16 bits; each takes all that it does not count itself to a second pass.
PATHS = ("flash", "cudnn", "fused")
#: Nothing; arcs alone; anything that is weighed by attention.
STATISTICS = ("none", "threshold", "all")
#: Head sizes that kernels are made for; others are filled up to the next one.
DEPTHS = (16, 32, 64, 96, 128, 256)
_KEYS = frozenset(("capability", "gpu", "dtype", "head_size", "length", "statistics", "ms"))


class TableError(ProvisError):
    """The table of measured times is not what its format says."""


class Row(NamedTuple):
    """One measurement; see the module's table."""

    capability: tuple[int, int]
    gpu: str
    dtype: str
    head_size: int
    length: int
    statistics: str
    ms: tuple[tuple[str, float], ...]


def depth(head_size: int) -> int:
    """The size in `DEPTHS` that a head size, of 256 at most, is rounded up to.

    Examples
    --------
    >>> depth(20), depth(64)
    (32, 64)
    """
    return next(size for size in DEPTHS if size >= head_size)


@lru_cache(maxsize=1)
def packaged_table() -> tuple[Row, ...]:
    """The rows that come with the package, read once.

    Raises
    ------
    TableError
        The file is damaged.
    """
    place = resources.files("provis_fast") / "data" / "gpu_paths.json"
    return parse_table(place.read_text(encoding="utf-8"), str(place))


def parse_table(text: str, name: str) -> tuple[Row, ...]:
    """Rows of a table.

    Parameters
    ----------
    text : str
        JSON.
    name : str
        Where it comes from, for errors.

    Raises
    ------
    TableError
        No JSON, another format or version, or a row that does not fit, by its number from 1.
    """
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise TableError(f"{name}:{error.lineno}: expected JSON ({error.msg})") from error
    found = table if isinstance(table, dict) else {}
    if (found.get("format"), found.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise TableError(
            f"{name}: expected format {FORMAT} version {FORMAT_VERSION}, got "
            f"{found.get('format')!r} version {found.get('format_version')!r}; install the package "
            "anew, or write the table with benchmarks/choices.py"
        )
    rows = found.get("rows")
    if not isinstance(rows, list):
        raise TableError(f"{name}: rows: expected a list, got {type(rows).__name__}")
    return tuple(parse_row(row, f"{name}: row {n}") for n, row in enumerate(rows, 1))


def parse_row(row: Any, place: str) -> Row:
    """One row, checked; TableError otherwise."""

    def expect(fits: bool, key: str, wanted: str) -> None:
        if not fits:
            raise TableError(f"{place}: {key}: expected {wanted}, got {row.get(key)!r}")

    if not isinstance(row, Mapping) or set(row) != _KEYS:
        got = sorted(row) if isinstance(row, Mapping) else type(row).__name__
        raise TableError(f"{place}: expected the keys {sorted(_KEYS)}, got {got}")
    capability = row["capability"]
    expect(
        isinstance(capability, (list, tuple))
        and len(capability) == 2
        and all(_is_integer(part, 0, 1000) for part in capability),
        "capability",
        "[major, minor]",
    )
    expect(isinstance(row["gpu"], str), "gpu", "a name")
    expect(row["dtype"] in ("bfloat16", "float16"), "dtype", "bfloat16 or float16")
    expect(_is_integer(row["head_size"], 1, DEPTHS[-1]), "head_size", f"1 to {DEPTHS[-1]}")
    expect(_is_integer(row["length"], 1, 1 << 40), "length", "a positive integer")
    expect(row["statistics"] in STATISTICS, "statistics", f"one of {STATISTICS}")
    times = row["ms"]
    expect(
        isinstance(times, Mapping)
        and len(times) > 0
        and all(path in PATHS for path in times)
        and all(
            isinstance(ms, Real) and not isinstance(ms, bool) and 0 < ms < math.inf
            for ms in times.values()
        ),
        "ms",
        f"positive numbers by path, of {PATHS}",
    )
    return Row(
        tuple(capability),
        row["gpu"],
        row["dtype"],
        row["head_size"],
        row["length"],
        row["statistics"],
        tuple((path, float(ms)) for path, ms in times.items()),
    )


def nearest(
    table: tuple[Row, ...],
    capability: tuple[int, int],
    dtype: str,
    head_size: int,
    length: int,
    statistics: str,
) -> Row | None:
    """The row of the same GPU generation, dtype, statistics and depth with the nearest length.

    Lengths are compared by their ratio; of equals, the first row is taken. None without any.
    """
    alike = [
        row
        for row in table
        if (row.capability, row.dtype, row.statistics) == (capability, dtype, statistics)
        and depth(row.head_size) == depth(head_size)
    ]
    return min(alike, key=lambda row: abs(math.log(row.length / max(1, length))), default=None)


def _is_integer(number: Any, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def table_text(rows: list[Row]) -> str:
    """The file of some rows: one row a line, sorted, so that the same rows give the same bytes."""
    lines = [
        json.dumps({**row._asdict(), "ms": dict(row.ms)}, ensure_ascii=False)
        for row in sorted(rows, key=lambda row: row[:6])
    ]
    body = ",\n".join(lines)
    head = f'{{"format": "{FORMAT}", "format_version": {FORMAT_VERSION}, "rows": ['
    return f"{head}\n{body}\n]}}\n" if lines else f"{head}]}}\n"
