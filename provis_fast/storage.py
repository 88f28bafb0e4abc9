"""Saving and loading results.

A result is a folder of four files, written together or not at all. Layers and heads are counted
from 1 in all of them.

``heads.csv``, ``heads.parquet``
    One row per layer, head, property, class, statistic and threshold. Columns: ``layer``, ``head``
    (from 1), ``property``, ``class``, ``statistic`` ("arcs" or "mass"), ``threshold``, ``arcs``,
    ``eligible``, ``count``, ``proportion``, ``background``. Where statistic is "mass", threshold is
    empty, and arcs, eligible and count hold the attention between residues, that on pairs where the
    property is known, and that on the class. For key values count is a sum of values and proportion
    their mean. Undefined proportions (fewer than min_arcs eligible arcs) are empty. Without
    properties there is one row per head, with nothing in their columns. Where entropy was measured,
    a column ``entropy`` more: the mean of the head's rows, in nats.
``counts.safetensors``
    The exact totals, from which everything else can be made again. Each total of
    `provis_fast.totals.Totals` is two tensors, ``NAME.hi`` (int64) and ``NAME.lo`` (uint64); the
    number is ``hi * 2**64 + lo``. Shapes and units stand there; the manifest lists the channels.
    ``proteins`` (int64 [2]): proteins analysed, and their residues, as in the manifest.
    ``protein_digests`` (uint64, sorted): for each protein analysed the BLAKE2b digest of 8
    bytes, little endian, over id, line feed and sequence. Results that share one hold
    the same protein, and do not merge. Empty for proteins without ids (`provis_fast.attach`).
``manifest.json``
    ``format``, ``format_version``; ``complete`` (false for an interrupted analysis); ``versions``
    and ``settings`` (lists: a merged result may have several); ``model``; ``options`` (all resolved
    options on which the numbers depend); ``properties``; ``channels``; ``inputs`` (path, sha256,
    bytes; of a file that cannot be read these two are null, and ``error`` says why); ``proteins``
    (read = analysed + skipped + failed, residues, and every record set aside with its reason);
    ``notes``; ``files`` (sha256 of the others); ``run`` (everything that differs from one run to
    the next: times, host, threads).

``per_protein/``
    Where results of single proteins were asked for: tables of them, as Parquet data sets; see
    `provis_fast.per_protein`. The manifest names them (``per_protein``), without digests.

The same result gives the same bytes, but for ``run``. Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from provis_fast.atomic import check_target, replaced_folder
from provis_fast.errors import ResultError
from provis_fast.per_protein import folders
from provis_fast.reading import (
    FORMAT,
    FORMAT_VERSION,
    check_manifest,
    read_counts,
    read_manifest,
    rebuild,
    warn_of_changed_tables,
)
from provis_fast.statistics import HeadStatistics
from provis_fast.tables import blocks, column_names, columns, heads_table

FILES = ("heads.csv", "heads.parquet", "counts.safetensors", "manifest.json")
"""Files of a result, the manifest last."""
PER_PROTEIN = folders.NAME
"""Folder of the tables of single proteins, where some were asked for."""


def save(
    result: HeadStatistics,
    folder: str | PathLike[str],
    per_protein: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
) -> None:
    """Write a result into a folder, atomically.

    The files are written into a new folder beside `folder`, flushed to the disk, and moved into
    place. An earlier result there is replaced as a whole.

    Parameters
    ----------
    result : HeadStatistics
    folder : str or path
        New, empty, or holding an earlier result and nothing else.
    per_protein : str, path, or iterable of them, optional
        Folders of tables of single proteins, which go with the result: as links to the same files
        where the file system has them, else as copies. Several folders are those of shards.

    Raises
    ------
    ResultError
        The folder holds other things or cannot be written, or the disk is full; there are no tables
        in a folder of `per_protein`, or they do not belong together. What stood there before still
        does.
    """
    target = check_writable(folder)
    if per_protein is None:
        parts = []
    else:
        parts = [per_protein] if isinstance(per_protein, (str, PathLike)) else list(per_protein)
    files = {
        "heads.csv": _csv(result),
        "heads.parquet": _parquet(result),
        "counts.safetensors": _counts(result),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    head = manifest(result) | {"files": digests, "run": result.run}
    if parts:
        head["per_protein"] = folders.tables([Path(part) for part in parts])
    files["manifest.json"] = _json(head)
    with replaced_folder(target) as temporary:
        for name in FILES:
            with open(temporary / name, "wb") as stream:
                stream.write(files[name])
                stream.flush()
                os.fsync(stream.fileno())
        if parts:
            folders.take_along(parts, temporary / PER_PROTEIN)


def load(folder: str | PathLike[str], *, allow_partial: bool = False) -> HeadStatistics:
    """Read a saved result; exactly what was saved.

    A table (heads.csv, heads.parquet) that was changed since is warned of in the log, no more: all
    numbers come from the counts.

    Parameters
    ----------
    folder : str or path
    allow_partial : bool
        Also read the result of an interrupted analysis.

    Raises
    ------
    ResultError
        No result there, files damaged or of an unknown version, or an incomplete result.
    """
    folder = Path(folder)
    head = read_manifest(folder)
    check_manifest(folder, head)
    if not head["complete"] and not allow_partial:
        raise ResultError(
            f"{folder}: incomplete, its analysis was interrupted. Run the analysis again, or use "
            "what there is with allow_partial=True (--allow-partial)"
        )
    try:
        result = rebuild(head, read_counts(folder, head))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{folder}: manifest.json and counts.safetensors do not fit together "
            f"({type(error).__name__}: {error}); restore the folder from a copy or run it again"
        ) from error
    warn_of_changed_tables(folder, head)
    return result


def check_writable(folder: str | PathLike[str]) -> Path:
    """Make sure that a result can be saved into a folder, before the work is done.

    Parent folders are created.

    Returns
    -------
    Path
        Where the result will stand; symbolic links followed.

    Raises
    ------
    ArgumentError
        An empty name.
    ResultError
        Something else stands there, or the place cannot be written.
    """
    return check_target(folder, "result", _foreign)


def _foreign(target: Path) -> list[str]:
    """What a folder holds that is no part of a result."""
    entries = [entry.name for entry in target.iterdir()]
    is_result = (target / "manifest.json").is_file()
    if is_result:
        read_manifest(target)
    others = sorted(name for name in entries if name not in (*FILES, PER_PROTEIN))
    if PER_PROTEIN in entries:
        others += [f"{PER_PROTEIN}/{name}" for name in folders.foreign(target / PER_PROTEIN)]
    return others or ([] if is_result or not entries else ["files without manifest.json"])


def partial_folder(folder: str | PathLike[str]) -> Path:
    """Where an interrupted analysis for `folder` is kept: ``DIR.partial``."""
    target = Path(os.path.realpath(folder))
    return target.with_name(target.name + ".partial")


def manifest(result: HeadStatistics) -> dict[str, Any]:
    """What manifest.json says of a result, but for ``files`` and ``run``."""
    channels = ["arcs"]
    for spec in result.properties:
        channels += [f"{spec.name}: eligible", *(f"{spec.name}: {name}" for name in spec.classes)]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "complete": result.complete,
        "versions": _lists(result.versions),
        "settings": _lists(result.settings),
        "model": result.model | {"n_layers": result.n_layers, "n_heads": result.n_heads},
        "options": {
            "layers": [layer + 1 for layer in result.layers],
            "thresholds": list(result.thresholds),
            "scalar_threshold": result.scalar_threshold,
            "weighting": result.weighting,
            "entropy": result.totals["entropy"] is not None,
            "min_arcs": result.min_arcs,
            "compat": result.compat,
        }
        | result.options,
        "properties": [
            {
                "name": spec.name,
                "kind": spec.kind,
                "classes": list(spec.classes),
                "options": spec.options,
            }
            for spec in result.properties
        ],
        "channels": channels,
        "inputs": result.inputs,
        "proteins": {
            "read": result.read,
            "analysed": result.analysed,
            "skipped": result.skipped,
            "failed": result.failed,
            "residues": result.residues,
            "set_aside": result.set_aside,
        },
        "notes": result.notes,
    }


def _lists(sets: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in sets.items()}


def _json(content: Any) -> bytes:
    try:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ResultError(
            f"the manifest cannot be written as JSON ({error}); options of properties and of the "
            "analysis may hold numbers, strings, lists and dicts of them only"
        ) from error
    # Names of files need not be valid text; what is not becomes an escape that JSON knows.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _csv(result: HeadStatistics) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    names = column_names(result)
    writer.writerow(names)
    for block in blocks(result):
        named = columns(result, block, base=1)
        n_rows = len(named["layer"])
        cells = []
        for name in names:
            column = named[name]
            cells.append(_cells(column) if isinstance(column, np.ndarray) else [column] * n_rows)
        writer.writerows(zip(*cells, strict=True))
    return stream.getvalue().encode()


def _cells(column: np.ndarray) -> list[Any]:
    """Values as csv.writer prints them shortest and exactly; NaN becomes an empty cell."""
    values = column.tolist()
    if column.dtype.kind != "f":
        return values
    return [None if math.isnan(value) else value for value in values]


def _parquet(result: HeadStatistics) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = heads_table(result, base=1)
    fields = [
        field.with_metadata({"note": "counted from 1"})
        if field.name in ("layer", "head")
        else field
        for field in table.schema
    ]
    metadata = {"provis_fast.format": "provis_fast.heads", "provis_fast.format_version": "1"}
    sink = pa.BufferOutputStream()
    pq.write_table(table.cast(pa.schema(fields, metadata)), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _counts(result: HeadStatistics) -> bytes:
    from safetensors.numpy import save as to_bytes

    tensors = {}
    for name, total in result.totals.items():
        tensors[f"{name}.hi"] = np.ascontiguousarray(total.hi)
        tensors[f"{name}.lo"] = np.ascontiguousarray(total.lo)
    tensors["proteins"] = np.array([result.analysed, result.residues], dtype=np.int64)
    tensors["protein_digests"] = np.ascontiguousarray(result.protein_digests)
    # One entry only: safetensors does not keep the order of several.
    return to_bytes(tensors, metadata={"format": f"{FORMAT}.counts/{FORMAT_VERSION}"})
