"""Saving and loading results.

A result is a folder of four files, written together or not at all. Layers and heads are counted
from 1 in all of them.

``heads.csv``, ``heads.parquet``
    One row per layer, head, property, class, statistic and threshold. Columns: ``layer``, ``head``
    (from 1), ``property``, ``class``, ``statistic`` ("arcs" or "mass"), ``threshold``, ``arcs``,
    ``eligible``, ``count``, ``proportion``, ``background``. Where statistic is "mass", threshold is
    empty, and arcs, eligible and count hold the attention between residues, that on pairs where the
    property is known, and that on the class. For key values count is a sum of values and proportion
    their mean. Undefined proportions (fewer than min_arcs eligible arcs) are empty.
``counts.safetensors``
    The exact totals, from which everything else can be made again. Each total of
    `provis_fast.totals.Totals` is two tensors, ``NAME.hi`` (int64) and ``NAME.lo`` (uint64); the
    number is ``hi * 2**64 + lo``. Shapes and units stand there; the manifest lists the channels.
``manifest.json``
    ``format``, ``format_version``; ``complete`` (false for an interrupted analysis); ``versions``
    and ``settings`` (lists: a merged result may have several); ``model``; ``options`` (all resolved
    options on which the numbers depend); ``properties``; ``channels``; ``inputs`` (path, sha256,
    bytes); ``proteins`` (read = analysed + skipped + failed, residues, and every record set aside
    with its reason); ``notes``; ``files`` (sha256 of the others); ``run`` (everything that differs
    from one run to the next: times, host, threads).

The same result gives the same bytes, but for ``run``. Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from provis_fast.atomic import cannot_write, replaced_folder
from provis_fast.errors import ResultError
from provis_fast.fixed128 import Int128
from provis_fast.statistics import HeadStatistics, PropertySpec
from provis_fast.tables import COLUMNS, blocks, columns, heads_table

FORMAT = "provis_fast.result"
FORMAT_VERSION = 1
FILES = ("heads.csv", "heads.parquet", "counts.safetensors", "manifest.json")
"""Files of a result, the manifest last."""


def save(result: HeadStatistics, folder: str | PathLike[str]) -> None:
    """Write a result into a folder, atomically.

    The files are written into a new folder beside `folder`, flushed to the disk, and moved into
    place. An earlier result there is replaced as a whole.

    Parameters
    ----------
    result : HeadStatistics
    folder : str or path
        New, empty, or holding an earlier result and nothing else.

    Raises
    ------
    ResultError
        The folder holds other things or cannot be written, or the disk is full. What stood there
        before still does.
    """
    target = check_writable(folder)
    files = {
        "heads.csv": _csv(result),
        "heads.parquet": _parquet(result),
        "counts.safetensors": _counts(result),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files["manifest.json"] = _json(manifest(result) | {"files": digests, "run": result.run})
    with replaced_folder(target) as temporary:
        for name in FILES:
            with open(temporary / name, "wb") as stream:
                stream.write(files[name])
                stream.flush()
                os.fsync(stream.fileno())


def load(folder: str | PathLike[str], *, allow_partial: bool = False) -> HeadStatistics:
    """Read a saved result; exactly what was saved.

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
    head = _read_manifest(folder)
    if not head.get("complete") and not allow_partial:
        raise ResultError(
            f"{folder}: incomplete, its analysis was interrupted. Run the analysis again, or use "
            "what there is with allow_partial=True (--allow-partial)"
        )
    try:
        return _rebuild(head, _read_counts(folder, head))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{folder}: manifest.json and counts.safetensors do not fit together "
            f"({type(error).__name__}: {error}); restore the folder from a copy or run it again"
        ) from error


def check_writable(folder: str | PathLike[str]) -> Path:
    """Make sure that a result can be saved into a folder, before the work is done.

    Parent folders are created.

    Returns
    -------
    Path
        Where the result will stand; symbolic links followed.

    Raises
    ------
    ResultError
        Something else stands there, or the place cannot be written.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.is_dir():
            others = sorted(entry.name for entry in target.iterdir() if entry.name not in FILES)
            is_result = (target / "manifest.json").is_file()
            if is_result:
                _read_manifest(target)
            if others or (any(target.iterdir()) and not is_result):
                found = ", ".join(others[:3] or ["files without manifest.json"])
                raise ResultError(
                    f"{folder}: holds something else than an earlier result ({found}); it is not "
                    "overwritten. Give another --out folder, or move these files away"
                )
        elif target.exists():
            raise ResultError(f"{folder}: expected a folder, but a file stands there")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rmdir(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise cannot_write(folder, error) from error
    return target


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
    return (text + "\n").encode()


def _csv(result: HeadStatistics) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for block in blocks(result):
        named = columns(block, result.layers, base=1)
        n_rows = len(named["layer"])
        cells = []
        for name in COLUMNS:
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
    # One entry only: safetensors does not keep the order of several.
    return to_bytes(tensors, metadata={"format": f"{FORMAT}.counts/{FORMAT_VERSION}"})


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        head = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ResultError(
            f"{folder}: no result here (manifest.json is missing); give a folder that "
            "`provis-fast analyze --out` or `HeadStatistics.save` has written"
        ) from error
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        found = head.get("format") if isinstance(head, dict) else type(head).__name__
        raise ResultError(f'{path}: expected "format": "{FORMAT}", got {found!r}')
    version = head.get("format_version")
    if version != FORMAT_VERSION:
        raise ResultError(
            f"{path}: format version {version} of {FORMAT} is not known, this provis_fast reads "
            f"version {FORMAT_VERSION}; use the release that wrote it: {head.get('versions')}"
        )
    return head


def _read_counts(folder: Path, head: dict[str, Any]) -> dict[str, Int128]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = folder / "counts.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != head.get("files", {}).get(path.name):
        raise ResultError(
            f"{path}: its digest is not the one in manifest.json: the file was changed or damaged; "
            "restore it from a copy, or run the analysis again"
        )
    try:
        tensors = from_bytes(content)
    except SafetensorError as error:
        raise ResultError(f"{path}: not a safetensors file ({error})") from error
    names = sorted({name.rpartition(".")[0] for name in tensors})
    return {name: Int128(tensors[f"{name}.hi"], tensors[f"{name}.lo"]) for name in names}


def _rebuild(head: dict[str, Any], arrays: dict[str, Int128]) -> HeadStatistics:
    options, proteins, model = dict(head["options"]), head["proteins"], dict(head["model"])
    result = HeadStatistics.empty(
        [layer - 1 for layer in options.pop("layers")],
        model.pop("n_layers"),
        model.pop("n_heads"),
        options.pop("thresholds"),
        options.pop("scalar_threshold"),
        [
            PropertySpec(p["name"], p["kind"], tuple(p["classes"]), p["options"])
            for p in head["properties"]
        ],
        options.pop("weighting"),
        options.pop("min_arcs"),
        options.pop("compat"),
        model,
        head["inputs"],
        entropy=options.pop("entropy"),
        options=options,
        versions={name: tuple(values) for name, values in head["versions"].items()},
        settings={name: tuple(values) for name, values in head["settings"].items()},
        run=head["run"],
    )
    result.totals.fill(arrays)
    result.analysed, result.residues = proteins["analysed"], proteins["residues"]
    result.set_aside, result.notes = proteins["set_aside"], head["notes"]
    result.complete = head["complete"]
    return result
