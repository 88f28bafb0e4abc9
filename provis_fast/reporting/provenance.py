"""What was run, on what, and what was left out: the facts of a report."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from provis_fast.record_log import NOTED
from provis_fast.reporting import wording

if TYPE_CHECKING:
    from provis_fast.statistics import HeadStatistics

#: Records set aside, and notes on records, that a page lists.
LISTED = 1000
_INPUTS = 10
_MODEL_KEYS = ("name", "digest", "family", "dtype", "revision")

Pair = tuple[str, "str | list[str]"]


class Aside(NamedTuple):
    """Records that were not analysed.

    Attributes
    ----------
    rows : tuple of tuple of str
        status, id, file, line, reason; failed ones first, `LISTED` at most.
    more : int
        Those beyond.
    skipped, failed : int
    """

    rows: tuple[tuple[str, ...], ...]
    more: int
    skipped: int
    failed: int


def short_model_name(result: HeadStatistics) -> str:
    """What a model is called in a title: of a folder its last part."""
    name = str(result.model.get("name") or "an unnamed model")
    return PurePath(name).name if name.startswith(("/", ".")) else name


def facts(result: HeadStatistics) -> tuple[tuple[str, tuple[Pair, ...]], ...]:
    """Groups of terms and texts."""
    groups = [
        ("Model", _model(result)),
        ("Analysis", _analysis(result)),
        ("Input", _input(result)),
        ("Software", _software(result)),
        ("Run", _runs(result)),
    ]
    return tuple((heading, tuple(pairs)) for heading, pairs in groups if pairs)


def _model(result: HeadStatistics) -> list[Pair]:
    model = result.model
    found: list[Pair] = [
        (key, str(model[key])) for key in _MODEL_KEYS if model.get(key) is not None
    ]
    found.append(("layers × heads", f"{result.n_layers} × {result.n_heads}"))
    if len(result.layers) < result.n_layers:
        layers = wording.ranges([layer + 1 for layer in sorted(result.layers)])
        found.append(("layers analysed", layers))
    known = {*_MODEL_KEYS, "layers", "heads", "n_layers", "n_heads"}
    found += [(key, _text(value)) for key, value in sorted(model.items()) if key not in known]
    return found


def _analysis(result: HeadStatistics) -> list[Pair]:
    found: list[Pair] = [("properties", [_property(spec) for spec in result.properties] or "none")]
    if result.thresholds:
        found.append(("threshold", ", ".join(f"{t:g}" for t in result.thresholds)))
        found.append(("least eligible arcs of a head", f"{result.min_arcs:,}"))
    found.append(("statistics", {"arcs": "arcs", "attention": "attention"}.get(
        result.weighting, "arcs and attention")))  # fmt: skip
    if result.compat:
        found.append(("compatible with", result.compat))
    found += [(k.replace("_", " "), _text(v)) for k, v in sorted(result.options.items()) if v]
    for name, what in (("n_bootstrap", "bootstrap replicates"), ("n_permutations", "permutations")):
        if getattr(result, name, 0):
            found.append((what, f"{getattr(result, name):,}"))
    return found


def _property(spec: Any) -> str:
    classes = ", ".join(spec.classes[:25]) + (", ..." if len(spec.classes) > 25 else "")
    named = "" if spec.classes == (spec.name,) or spec.is_value else f" (classes: {classes})"
    return f"{spec.name}: {wording.definition(spec)}{named}"


def _input(result: HeadStatistics) -> list[Pair]:
    found: list[Pair] = [
        (
            "proteins read",
            f"{result.read:,} = {result.analysed:,} analysed + {result.skipped:,} skipped + "
            f"{result.failed:,} failed",
        ),
        ("residues", f"{result.residues:,}"),
    ]
    if not result.inputs:
        return found
    sizes = [entry["bytes"] for entry in result.inputs if entry.get("bytes")]
    n = wording.count(len(result.inputs), "file")
    found.append(("input", f"{n}, {sum(sizes):,} bytes"))
    listed = [
        f"{entry.get('path', '')} (SHA-256 {str(entry.get('sha256') or 'unknown')[:16]})"
        for entry in result.inputs[:_INPUTS]
    ]
    if len(result.inputs) > _INPUTS:
        listed.append(f"... and {len(result.inputs) - _INPUTS:,} more: see manifest.json")
    found.append(("files", listed))
    return found


def _software(result: HeadStatistics) -> list[Pair]:
    found: list[Pair] = []
    for term, named in (("versions", result.versions), ("settings", result.settings)):
        texts = [
            f"{name.replace('_', ' ') if term == 'settings' else name} {', '.join(values)}"
            for name, values in sorted(named.items())
        ]
        if texts:
            found.append((term, "; ".join(texts)))
    return found


def _runs(result: HeadStatistics) -> list[Pair]:
    found: list[Pair] = []
    for session in result.run:
        command = session.get("command")
        if isinstance(command, list) and command:
            program, *rest = map(str, command)
            found.append(("command", shlex.join([PurePath(program).name, *rest])))
        if session.get("started"):
            found.append(("started", str(session["started"])))
        if session.get("seconds") is not None:
            found.append(("time", f"{float(session['seconds']):,.1f} s"))
        if session.get("threads") is not None:
            found.append(("threads", str(session["threads"])))
    return found


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(each)}" for key, each in sorted(value.items()))
    return str(value)


def set_aside(result: HeadStatistics) -> Aside:
    """The records that were not analysed, those that failed first."""
    failed, skipped = [], []
    for remark in result.remarks:
        kept = {"failed": failed, "skipped": skipped}.get(remark.status)
        if kept is not None and len(kept) < LISTED:
            line = "" if remark.line is None else f"{remark.line:,}"
            kept.append((remark.status, remark.id, remark.source or "", line, remark.reason))
    rows = tuple((failed + skipped)[:LISTED])
    total = result.skipped + result.failed
    return Aside(rows, total - len(rows), result.skipped, result.failed)


def notes(result: HeadStatistics) -> Iterator[str]:
    """Notes on the whole, then on single records; `LISTED` of the latter at most."""
    yield from result.notes_on_the_whole
    noted = (remark for remark in result.remarks if remark.status == NOTED)
    yield from (f"{remark.id}: {remark.reason}" for remark in islice(noted, LISTED))
    more = result.remarks.count(NOTED) - LISTED
    if more > 0:
        yield f"... and notes on {more:,} more records: see failed.tsv"
