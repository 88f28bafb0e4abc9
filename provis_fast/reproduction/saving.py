"""Files of the experiment.

A folder with one folder for each data set that was analysed, called as the data set, which holds a
result as `provis_fast.storage` writes it (`provis_fast.load_result` reads it), and
``reproduce.json``. Layers and heads are counted from 1; shares are fractions, not percent; what is
undefined is null.

``reproduce.json``
    ``format`` ("provis_fast.reproduction"), ``format_version``; ``complete`` (false where it was
    interrupted); ``model``; ``compared_with`` (name and title of the published model, or null);
    ``options`` (proteins, seed, threshold, residues, min_arcs, compat); ``notes``;
    ``data_sets``: name, properties, ``file`` and ``papers_file`` (whether it is called as the
    paper's), records, drawn, analysed, skipped, failed, residues; ``folder`` of its result;
    ``properties``: for each measured property a list of its classes: class, background,
    published_background, correlation, heads (that have both shares), heads_told (whose error can be
    told), heads_within; and ``top_heads``: layer, head, rank, published_rank, share, published,
    difference, error, within, arcs (see `provis_fast.reproduction.comparison`);
    ``amino_acid_similarity`` (null without amino acids): correlation, published, pairs, heads,
    amino_acids (a string of 20 letters), similarity and blosum62 (20 x 20, null on the diagonal);
    ``missing``: property, reason, data_set, ``looked_for`` and ``to_be_had_from`` where no file was
    found.
"""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provis_fast import storage
from provis_fast.atomic import check_target, flushed_file, replaced_folder
from provis_fast.compat import PROVIS_RESIDUES
from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.reproduction.comparison import Comparison, HeadRow
from provis_fast.reproduction.datasets import DATA_SETS
from provis_fast.reproduction.experiment import MIN_ARCS, THRESHOLD

if TYPE_CHECKING:
    from provis_fast.reproduction.experiment import DataSetOutcome, Reproduction

FORMAT, FORMAT_VERSION = "provis_fast.reproduction", 1
SUMMARY = "reproduce.json"


def save(outcome: Reproduction, folder: str | PathLike[str]) -> None:
    """Write the outcome into a folder, whole or not at all; replaces an earlier one there.

    Raises
    ------
    ResultError
        The folder holds other things, or cannot be written.
    """
    target = check_writable(folder)
    text = json.dumps(to_json(outcome), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replaced_folder(target) as temporary:
        for data_set in outcome.data_sets:
            if data_set.result is not None:
                storage.save(data_set.result, temporary / data_set.data_set.name)
        with flushed_file(temporary / SUMMARY) as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))


def check_writable(folder: str | PathLike[str]) -> Path:
    """Make sure, before the work is done, that an outcome can be saved into a folder.

    Returns
    -------
    Path
        Where it will stand; symbolic links followed.

    Raises
    ------
    ArgumentError
        An empty name.
    ResultError
        Something else stands there, or the place cannot be written.
    """
    return check_target(folder, "outcome", _foreign)


def _foreign(target: Path) -> list[str]:
    """What a folder holds that is no part of an outcome."""
    entries = {entry.name for entry in target.iterdir()}
    others = sorted(entries - {SUMMARY, *(data_set.name for data_set in DATA_SETS)})
    return others or ([f"files without {SUMMARY}"] if entries and not is_outcome(target) else [])


def is_outcome(folder: Path) -> bool:
    """Whether an earlier outcome stands in a folder."""
    try:
        content = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def to_json(outcome: Reproduction) -> dict[str, Any]:
    """The content of reproduce.json."""
    theirs = outcome.published
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "complete": outcome.complete,
        "model": dict(outcome.model),
        "compared_with": None if theirs is None else {"name": theirs.name, "title": theirs.title},
        "options": {
            "proteins": outcome.n_proteins,
            "seed": outcome.seed,
            "threshold": THRESHOLD,
            "residues": PROVIS_RESIDUES,
            "min_arcs": MIN_ARCS,
            "compat": "provis",
        },
        "notes": list(outcome.notes),
        "data_sets": [_data_set(o) for o in outcome.data_sets if o.file is not None],
        "properties": {
            name: [_class(comparison) for comparison in comparisons]
            for name, comparisons in outcome.comparisons.items()
        },
        "amino_acid_similarity": _similarity(outcome),
        "missing": [
            {"property": name, "reason": reason, "data_set": o.data_set.name}
            | (
                {"looked_for": o.data_set.expected(), "to_be_had_from": o.data_set.whence}
                if o.file is None
                else {}
            )
            for o in outcome.data_sets
            for name, reason in o.missing()
        ],
    }


def _data_set(o: DataSetOutcome) -> dict[str, Any]:
    found = {
        "name": o.data_set.name,
        "properties": list(o.properties),
        "file": o.file.name,
        "papers_file": o.file.is_papers,
        "records": o.records,
        "drawn": o.drawn,
    }
    for name in ("analysed", "skipped", "failed", "residues"):
        found[name] = 0 if o.result is None else getattr(o.result, name)
    return found | {"folder": None if o.result is None else o.data_set.name}


def _class(comparison: Comparison) -> dict[str, Any]:
    return {
        "class": comparison.class_name,
        "background": _number(comparison.background),
        "published_background": _number(comparison.published_background),
        "correlation": _number(comparison.correlation),
        "heads": comparison.n_heads,
        "heads_told": comparison.n_told,
        "heads_within": comparison.n_within,
        "top_heads": [_row(row) for row in comparison.rows],
    }


def _row(row: HeadRow) -> dict[str, Any]:
    return {
        "layer": row.layer + 1,
        "head": row.head + 1,
        "rank": row.rank,
        "published_rank": row.published_rank,
        "share": _number(row.proportion),
        "published": _number(row.published),
        "difference": _number(row.difference),
        "error": _number(row.error),
        "within": row.within,
        "arcs": row.arcs,
    }


def _similarity(outcome: Reproduction) -> dict[str, Any] | None:
    found = outcome.similarity
    if found is None:
        return None
    return {
        "correlation": _number(found.correlation),
        "published": found.published,
        "pairs": found.n_pairs,
        "heads": found.n_heads,
        "amino_acids": AMINO_ACIDS,
        "similarity": [[_number(x) for x in row] for row in found.similarity.tolist()],
        "blosum62": [[_number(x) for x in row] for row in found.blosum62.tolist()],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
