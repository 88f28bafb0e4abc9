"""Folders of tables of single proteins as parts of a result: checked, joined, taken along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from provis_fast.errors import ResultError

#: Where the tables stand in the folder of a result.
NAME = "per_protein"
_TABLES = ("proteins", "counts", "received", "arcs")  # `schemas.TABLES`, without pyarrow


def foreign(folder: Path) -> list[str]:
    """What a folder of tables holds that is none of their files; paths relative to it."""
    ours = set(_parts(folder).values())
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(str(path.relative_to(folder)) for path in found if path not in ours)


def tables(folder: Path) -> list[str]:
    """Names of the tables in a folder."""
    return sorted({part.parts[0] for part in _parts(folder)})


def all_tables(requested: Sequence[str]) -> list[str]:
    """Names of the tables that come of a request."""
    return sorted({*requested, "proteins"}) if requested else []


def take_along(folders: Sequence[str | PathLike[str]], target: Path) -> None:
    """Bring the files of several folders of tables into a new one.

    They are linked where the file system can do so, and otherwise copied: nothing changes these
    files once they are written.

    Parameters
    ----------
    folders : sequence of path
        Of one analysis; each with its own partitions.
    target : Path

    Raises
    ------
    ResultError
        No tables in a folder; two folders hold the same partition, or tables of different columns.
    OSError
        `target` cannot be written, or a folder cannot be read.
    """
    for part, source in _joined([Path(folder) for folder in folders]).items():
        place = target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, place)
        except OSError:  # another file system, or one without links
            with open(source, "rb") as stream, open(place, "wb") as copy:
                shutil.copyfileobj(stream, copy)
                copy.flush()
                os.fsync(copy.fileno())


def _parts(folder: Path) -> dict[Path, Path]:
    """Files of the tables, by their place in the folder."""
    found = [path for name in _TABLES for path in folder.glob(f"{name}/shard=*/part-0.parquet")]
    return {path.relative_to(folder): path for path in sorted(found)}


def _joined(folders: list[Path]) -> dict[Path, Path]:
    import pyarrow.parquet as pq

    joined: dict[Path, Path] = {}
    first: dict[str, Path] = {}  # a file of each table
    for folder in folders:
        parts = _parts(folder)
        if not parts:
            raise ResultError(
                f"{folder}: there are no tables of single proteins here; expected folders such as "
                "proteins/shard=0001-of-0001, as an analysis with --per-protein writes them"
            )
        for part, source in parts.items():
            if part in joined:
                raise ResultError(
                    f"{source}: {joined[part]} is the same part of that table. Tables are joined "
                    "where the results are shards of one input (--shard 1/2, --shard 2/2); else "
                    "merge without them (--no-per-protein) and read the folders side by side"
                )
            joined[part] = source
            known = first.setdefault(part.parts[0], source)
            if known is not source and not pq.read_schema(known).equals(
                pq.read_schema(source), check_metadata=True
            ):
                raise ResultError(
                    f"{source}: other columns than {known}, or another version of the table; these "
                    "do not belong together. Merge without them (--no-per-protein)"
                )
    return joined
