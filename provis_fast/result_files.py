"""Contents of the files of a result; what is in them stands in `provis_fast.storage`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from provis_fast.errors import ResultError
from provis_fast.reading import FORMAT, FORMAT_VERSION, LISTED
from provis_fast.record_log import NOTED, Remark
from provis_fast.statistics import HeadStatistics
from provis_fast.tables import blocks, column_names, columns, heads_table


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
            "bootstrap": result.n_bootstrap,
            "permutations": result.n_permutations,
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
            "noted": result.remarks.count(NOTED),
            "residues": result.residues,
            "set_aside": _first(result.remarks, noted=False),
            "notes": _first(result.remarks, noted=True),
            "unknown_properties": result.unknown_properties,
        },
        "notes": result.notes_on_the_whole,
        "counted_notes": result.counted,
        "shard": None if result.shard is None else result.shard.to_json(),
    }


def _first(remarks: Iterable[Remark], noted: bool) -> list[dict[str, Any]]:
    """Remarks as the manifest has them, the first ones; records are counted from 1."""
    wanted = (remark for remark in remarks if (remark.status == NOTED) == noted)
    return [r.as_dict() | {"record": r.number + 1} for r in islice(wanted, LISTED)]


def _lists(sets: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in sets.items()}


def json_bytes(content: Any) -> bytes:
    try:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ResultError(
            f"the manifest cannot be written as JSON ({error}); options of properties and of the "
            "analysis may hold numbers, strings, lists and dicts of them only"
        ) from error
    # Names of files need not be valid text; what is not becomes an escape that JSON knows.
    return (text + "\n").encode("utf-8", "backslashreplace")


def csv_bytes(result: HeadStatistics) -> bytes:
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


def parquet_bytes(result: HeadStatistics) -> bytes:
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


def counts_bytes(result: HeadStatistics) -> bytes:
    from safetensors.numpy import save as to_bytes

    tensors = {}
    for name, total in result.totals.items():
        tensors[f"{name}.hi"] = np.ascontiguousarray(total.hi)
        tensors[f"{name}.lo"] = np.ascontiguousarray(total.lo)
    tensors["proteins"] = np.array([result.analysed, result.residues], dtype=np.int64)
    tensors["protein_digests"] = np.ascontiguousarray(result.protein_digests)
    # One entry only: safetensors does not keep the order of several.
    return to_bytes(tensors, metadata={"format": f"{FORMAT}.counts/{FORMAT_VERSION}"})
