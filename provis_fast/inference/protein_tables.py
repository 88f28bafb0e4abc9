"""The tables of single proteins of a result, read as arrays, some proteins at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from provis_fast.errors import ResultError
from provis_fast.per_protein.reading import per_protein_dataset

if TYPE_CHECKING:
    from provis_fast.statistics import HeadStatistics


class ProteinTables:
    """Tables "counts" and "proteins" of a result, seen to belong to it.

    Parameters
    ----------
    result : HeadStatistics
        One that holds arcs.
    folder : str or path
        Its folder, or that of the tables.

    Attributes
    ----------
    ids : list of str
        Of the proteins, in the order of the tables.
    clusters : list of str or None
        Of the proteins, as the input had them.

    Raises
    ------
    ResultError
        There are no such tables, they cannot be read, or they are those of another result.
    """

    def __init__(self, result: HeadStatistics, folder: str | PathLike[str]):
        self._result, self._folder = result, Path(folder)
        self._parts = _parts(self._folder)
        self.ids: list[str] = []
        self.clusters: list[str | None] = []
        records = [self._add_proteins(part) for part in self._parts]
        if len(self.ids) != result.analysed:
            raise self.foreign(
                f"they are of {len(self.ids):,} proteins, it is of {result.analysed:,}"
            )
        for part in self._parts:
            self._check_columns(part)
        for part, wanted in zip(self._parts, records, strict=True):
            self._check_rows(part, wanted)

    def foreign(self, why: str) -> ResultError:
        """What to raise where tables and result do not belong together."""
        return ResultError(
            f"{self._folder}: expected the tables of single proteins of this very result; {why}; "
            "give the folder into which its own analysis wrote them"
        )

    def in_turn(
        self, property_name: str, classes: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Numbers of some proteins at a time, in the order of `ids`.

        Yields
        ------
        numbers : float64 [S, thetas, layers, heads, 1 + classes]
            Eligible arcs, and those of each class (sums of values for key values).
        shares : float64 [S, classes]
            Background shares; 0 where a protein has none.
        """
        result = self._result
        counts = [_eligible(property_name), *(_count(property_name, name) for name in classes)]
        backgrounds = [_background(property_name, name) for name in classes]
        shape = (self._kinds, len(result.layers), result.n_heads, len(counts))
        for part in self._parts:
            shares, begin = _all_rows(part.proteins, backgrounds), 0
            for block in _whole_proteins(part.counts, counts, self._rows):
                numbers = block.reshape(-1, *shape)[:, : len(result.thresholds)]
                share = shares[begin : begin + len(numbers)]
                begin += len(numbers)
                yield numbers, np.nan_to_num(share, nan=0.0)

    @property
    def _kinds(self) -> int:
        """Statistics of a protein: thresholds, and mass where there is one."""
        return len(self._result.thresholds) + (self._result.weighting == "both")

    @property
    def _rows(self) -> int:
        """Rows of a protein in the table of counts."""
        return self._kinds * len(self._result.layers) * self._result.n_heads

    def _add_proteins(self, part: _Part) -> NDArray[np.int64]:
        """Take ids and clusters from the files of a part; returns the numbers of its records."""
        records = [np.empty(0, np.int64)]
        for path in part.proteins:
            table = _read(path, ["record", "protein", "cluster"])
            self.ids += table["protein"].to_pylist()
            self.clusters += table["cluster"].to_pylist()
            records.append(table["record"].to_numpy())
        return np.concatenate(records)

    def _check_columns(self, part: _Part) -> None:
        for path in part.counts + part.proteins:
            has = set(_schema(path).names)
            for spec in self._result.properties:
                if path in part.counts:
                    wanted = {_eligible(spec.name)}
                    wanted |= {_count(spec.name, name) for name in spec.classes}
                else:
                    wanted = {_background(spec.name, name) for name in spec.classes}
                if missing := wanted - has:
                    raise self.foreign(f"they have no column {min(missing)}")

    def _check_rows(self, part: _Part, records: NDArray[np.int64]) -> None:
        """Rows have to stand as they are written: protein by protein as in the table of proteins,
        of each first thresholds (mass last), then layers, then heads."""
        result = self._result
        thresholds = [*result.thresholds, *[np.nan] * (self._kinds - len(result.thresholds))]
        axes = (
            np.array(thresholds, np.float64),
            np.array(result.layers, np.float64) + 1,
            np.arange(1.0, result.n_heads + 1),
        )
        pattern = np.stack([axis.reshape(-1) for axis in np.meshgrid(*axes, indexing="ij")], -1)
        begin = 0
        for block in _whole_proteins(
            part.counts, ["record", "threshold", "layer", "head"], self._rows
        ):
            rows = block.reshape(-1, len(pattern), 4)
            wanted = records[begin : begin + len(rows)]
            begin += len(rows)
            if len(wanted) != len(rows) or (rows[..., 0] != wanted[:, None]).any():
                raise self.foreign("its rows of counts and of proteins do not correspond")
            same = (rows[..., 1:] == pattern) | (np.isnan(rows[..., 1:]) & np.isnan(pattern))
            if not same.all():
                raise self.foreign("they have other thresholds, layers or heads")
        if begin != len(records):
            raise self.foreign("its rows of counts and of proteins do not correspond")


class _Part(NamedTuple):
    """Files of one shard."""

    counts: list[Path]
    proteins: list[Path]


def _parts(folder: Path) -> list[_Part]:
    files = [
        [Path(path) for path in sorted(per_protein_dataset(folder, table).files)]
        for table in ("counts", "proteins")
    ]
    shards = sorted({path.parent.name for table in files for path in table})
    return [
        _Part(*([path for path in table if path.parent.name == shard] for table in files))
        for shard in shards
    ]


def _eligible(property_name: str) -> str:
    return f"eligible:{property_name}"


def _count(property_name: str, class_name: str) -> str:
    return f"count:{property_name}:{class_name}"


def _background(property_name: str, class_name: str) -> str:
    return f"background:{property_name}:{class_name}"


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error


def _matrix(table: pa.Table, names: list[str]) -> NDArray[np.float64]:
    """Columns side by side, float64 [rows, names]; NaN for null."""
    found = np.empty((len(table), len(names)))
    for at, name in enumerate(names):
        found[:, at] = table[name].to_numpy()
    return found


def _all_rows(files: list[Path], names: list[str]) -> NDArray[np.float64]:
    """Columns of files one after the other, float64 [rows, names]."""
    tables = [_matrix(_read(path, names), names) for path in files]
    return np.concatenate([np.empty((0, len(names))), *tables])


def _whole_proteins(
    files: list[Path], names: list[str], rows: int
) -> Iterator[NDArray[np.float64]]:
    """Columns of files, a row group at a time, each cut where the `rows` of a protein end."""
    rest = np.empty((0, len(names)))
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    block = _matrix(file.read_row_group(group, columns=names), names)
                    block = np.concatenate([rest, block])
                    end = len(block) // rows * rows
                    rest = block[end:].copy()
                    if end:
                        yield block[:end]
        except (OSError, pa.ArrowException) as error:
            raise ResultError(f"{path}: cannot be read ({error})") from error
    if len(rest):
        raise ResultError(
            f"{files[-1]}: ends within the rows of a protein; the file was cut off or changed"
        )
