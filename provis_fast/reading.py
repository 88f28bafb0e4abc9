"""Reading a saved result back, and noticing where its files do not agree; see `storage`."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast import failed_table
from provis_fast.errors import ResultError
from provis_fast.fixed128 import Int128
from provis_fast.record_log import STATUSES, RecordLog, Remark
from provis_fast.shards import ShardParts
from provis_fast.statistics import HeadStatistics, PropertySpec

logger = logging.getLogger(__name__)

FORMAT = "provis_fast.result"
FORMAT_VERSION = 3
READABLE = (1, 2, 3)
LISTED = 1000
"""Records set aside, and remarks on others, that the manifest repeats from failed.tsv."""
MANIFEST_KEYS = {
    "channels": list,
    "complete": bool,
    "files": dict,
    "inputs": list,
    "model": dict,
    "notes": list,
    "options": dict,
    "properties": list,
    "proteins": dict,
    "run": list,
    "settings": dict,
    "versions": dict,
}
"""Entries that every manifest has, and their types."""
_KEYS_OF_2 = {"counted_notes": dict}

_JSON_NAMES = {list: "a list", dict: "an object", bool: "true or false"}


class Counts(NamedTuple):
    """Content of counts.safetensors."""

    totals: dict[str, Int128]
    proteins: NDArray[np.int64]  # [2]: analysed, residues
    digests: NDArray[np.uint64]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a result of a version that can be read; ResultError where there is none."""
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
    if version not in READABLE:
        raise ResultError(
            f"{path}: format version {version} of {FORMAT} is not known, this provis_fast reads "
            f"versions {READABLE[0]} to {READABLE[-1]}; use the release that wrote it: "
            f"{head.get('versions')}"
        )
    return head


def check_manifest(folder: Path, head: dict[str, Any]) -> None:
    """ResultError where the manifest lacks something or contradicts itself."""
    path = folder / "manifest.json"
    keys = MANIFEST_KEYS if head["format_version"] == 1 else MANIFEST_KEYS | _KEYS_OF_2
    missing = sorted(key for key in keys if key not in head)
    if missing:
        raise ResultError(
            f"{path}: {', '.join(missing)} missing: the file was changed or damaged; restore it "
            "from a copy, or run the analysis again"
        )
    for key, kind in keys.items():
        if not isinstance(head[key], kind):
            raise ResultError(
                f"{path}: {key}: expected {_JSON_NAMES[kind]}, got {head[key]!r:.40}: the file was "
                "changed or damaged; restore it from a copy, or run the analysis again"
            )
    proteins = head["proteins"]
    try:
        parts = [proteins[name] for name in ("analysed", "skipped", "failed")]
        listed, aside = len(proteins["set_aside"]), parts[1] + parts[2]
        of_all = head["format_version"] == 1
        agrees = proteins["read"] == sum(parts) and listed == (
            aside if of_all else min(aside, LISTED)
        )
    except (KeyError, TypeError):
        return  # nothing to compare; what is wrong with it is told where it is used
    if not agrees:
        raise ResultError(
            f"{path}: its numbers of proteins contradict each other: {proteins['read']} read, "
            f"{parts[0]} analysed, {parts[1]} skipped, {parts[2]} failed, "
            f"{len(proteins['set_aside'])} in set_aside; restore the file from a copy, or run the "
            "analysis again"
        )


def warn_of_changed_tables(folder: Path, head: dict[str, Any]) -> None:
    """Log where a table is not the one that was written; it is not needed to read the result."""
    for name in ("heads.csv", "heads.parquet"):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            continue  # that a table was removed is plain to see
        except OSError as error:
            logger.warning("%s: cannot be read (%s)", folder / name, error)
            continue
        if hashlib.sha256(content).hexdigest() != head["files"].get(name):
            logger.warning(
                "%s: changed or cut off since it was written (its digest is not the one in "
                "manifest.json); the counts are not affected: save the result anew to restore it",
                folder / name,
            )


def read_counts(folder: Path, head: dict[str, Any]) -> Counts:
    """The exact totals; ResultError where the file is not the one that was written."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = folder / "counts.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != head["files"].get(path.name):
        raise ResultError(
            f"{path}: its digest is not the one in manifest.json: the file was changed or damaged; "
            "restore it from a copy, or run the analysis again"
        )
    try:
        tensors = from_bytes(content)
    except SafetensorError as error:
        raise ResultError(f"{path}: not a safetensors file ({error})") from error
    proteins, digests = tensors.pop("proteins"), tensors.pop("protein_digests")
    names = sorted({name.rpartition(".")[0] for name in tensors})
    totals = {name: Int128(tensors[f"{name}.hi"], tensors[f"{name}.lo"]) for name in names}
    return Counts(totals, proteins, digests)


def read_remarks(folder: Path, head: dict[str, Any]) -> RecordLog:
    """Remarks on single records; ResultError where they are not those that were written."""
    proteins = head["proteins"]
    if head["format_version"] == 1:  # it did not say which record of the input each was
        try:
            return RecordLog(
                Remark(number, *(entry[name] for name in ("id", "status", "reason")))._replace(
                    source=entry["source"] or "", line=entry["line"]
                )
                for number, entry in enumerate(proteins["set_aside"])
            )
        except (KeyError, TypeError) as error:
            raise ResultError(
                f"{folder / 'manifest.json'}: proteins: set_aside ({type(error).__name__}: "
                f"{error}): the file was changed or damaged; restore it from a copy, or run the "
                "analysis again"
            ) from error
    path = folder / "failed.tsv"
    log = failed_table.read(path, head["files"].get(path.name))
    for status in STATUSES:
        if log.count(status) != proteins.get(status):
            raise ResultError(
                f"{path}: {log.count(status)} lines {status}, but the manifest says "
                f"{proteins.get(status)}; restore the folder from a copy, or run the analysis again"
            )
    return log


def rebuild(head: dict[str, Any], counts: Counts, remarks: RecordLog) -> HeadStatistics:
    """The result; KeyError, TypeError or ValueError where manifest and counts do not agree."""
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
        n_bootstrap=options.pop("bootstrap", 0),  # versions 1 and 2 have none
        n_permutations=options.pop("permutations", 0),
        options=options,
        versions={name: tuple(values) for name, values in head["versions"].items()},
        settings={name: tuple(values) for name, values in head["settings"].items()},
        run=head["run"],
    )
    result.totals.fill(counts.totals)
    result.analysed, result.residues = proteins["analysed"], proteins["residues"]
    if [result.analysed, result.residues] != counts.proteins.tolist():
        analysed, residues = counts.proteins.tolist()
        raise ValueError(
            f"{result.analysed} proteins of {result.residues} residues in the manifest, "
            f"{analysed} of {residues} in the counts"
        )
    result.protein_digests = counts.digests
    result.remarks, result.complete = remarks, head["complete"]
    result.counted = dict(head.get("counted_notes", {}))
    if head.get("shard") is not None:
        result.shard = ShardParts.from_json(head["shard"])
    if "background" in result.options:
        result.unknown = tuple(proteins.get("unknown_properties", ()))
    made = set(result.notes_on_the_whole)  # these are made anew from numbers
    result.general_notes = [note for note in head["notes"] if note not in made]
    return result
