"""Saving and loading results.

A result is a folder of five files, written together or not at all. Layers and heads are counted
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
    Those of bootstrap replicates and permutations, ``bootstrap.NAME`` and ``permutations.NAME``,
    have one axis more in front, as long as the manifest's options ``bootstrap`` and
    ``permutations`` say; permutations have the channels of all properties but separations, without
    the arcs.
    ``proteins`` (int64 [2]): proteins analysed, and their residues, as in the manifest.
    ``protein_digests`` (uint64, sorted): for each protein analysed the BLAKE2b digest of 8
    bytes, little endian, over id, line feed and sequence. Results that share one hold
    the same protein, and do not merge. Empty for proteins without ids (`provis_fast.attach`).
``failed.tsv``
    Every record that was skipped or has failed, and every remark on one that was analysed, in the
    input's order; see `provis_fast.failed_table`.
``manifest.json``
    ``format``, ``format_version``; ``complete`` (false for an interrupted analysis, and for some of
    the shards of one); ``versions`` and ``settings`` (lists: a merged result may have several);
    ``model``; ``options`` (all resolved options on which the numbers depend); ``properties``;
    ``channels``; ``inputs`` (path, sha256, bytes; of a file that cannot be read these two are null,
    and ``error`` says why); ``proteins`` (read = analysed + skipped + failed, residues; ``noted``,
    the number of remarks on records that were analysed; the first 1,000 records set aside and the
    first 1,000 such remarks, of which failed.tsv has all; ``unknown_properties``); ``notes`` (on
    the result as a whole), ``counted_notes`` (those of them that count proteins, which merging
    adds); ``shard`` (null, or ``of``, and ``parts``, those of 1 to ``of`` that are held, and
    ``interrupted``, those that are held in part); ``files`` (sha256 of the others); ``run``
    (everything that differs from one run to the next, a list of sessions: times, host, threads).

``per_protein/``
    Where results of single proteins were asked for: tables of them, as Parquet data sets; see
    `provis_fast.per_protein`. The manifest names them (``per_protein``), without digests.

``report.html``, ``comparison.html``, ``view.html``, ``figures/``
    May have been added by ``provis-fast report``, ``view`` and ``figures``. They belong to the
    result: one that takes its place does not keep them.

The same result gives the same bytes, but for ``run``. Nothing is ever unpickled. Results of earlier
format versions are read as well: version 2 knew neither bootstrap nor permutations, nor the sum of
n**2 b that the interval of an excess takes; version 1, besides, had no failed.tsv and all of it in
the manifest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from provis_fast import checkpoint, failed_table
from provis_fast.atomic import cannot_write, check_target, flushed_file, replaced_folder
from provis_fast.errors import ResultError
from provis_fast.folder_lock import LOCK, locked
from provis_fast.per_protein import folders
from provis_fast.reading import (
    check_manifest,
    read_counts,
    read_manifest,
    read_remarks,
    rebuild,
    warn_of_changed_tables,
)
from provis_fast.result_files import (
    counts_bytes,
    csv_bytes,
    json_bytes,
    manifest,
    parquet_bytes,
)
from provis_fast.statistics import HeadStatistics
from provis_fast.written_pages import FIGURES, PAGES
from provis_fast.written_pages import foreign as foreign_pages

FILES = ("heads.csv", "heads.parquet", "counts.safetensors", "failed.tsv", "manifest.json")
"""Files of a result, the manifest last."""
PER_PROTEIN = folders.NAME
"""Folder of the tables of single proteins, where some were asked for."""
_PARTIAL_FILES = {*FILES, *checkpoint.FILES}


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
        New, empty, or holding an earlier result (its report, view and figures) and nothing else.
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
    with replaced_folder(target) as temporary:
        _write(result, temporary, parts)


def save_beside_checkpoint(result: HeadStatistics, folder: Path) -> None:
    """Write an incomplete result into the folder of its checkpoint, which stays untouched.

    Raises
    ------
    ResultError
        It cannot be written, or the disk is full. An earlier result there may be gone by then.
    """
    try:
        folder.mkdir(exist_ok=True)
        # Without its manifest, an earlier result is none: its files can go one by one.
        (folder / "manifest.json").unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            _write(result, Path(name))
            for file in FILES:
                os.replace(Path(name) / file, folder / file)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _write(
    result: HeadStatistics, folder: Path, per_protein: Sequence[str | PathLike[str]] = ()
) -> None:
    """All files of a result, flushed to the disk, into a new folder."""
    contents = {
        "heads.csv": lambda: [csv_bytes(result)],
        "heads.parquet": lambda: [parquet_bytes(result)],
        "counts.safetensors": lambda: [counts_bytes(result)],
        "failed.tsv": lambda: failed_table.lines(result.remarks),
    }
    digests = {name: _write_file(folder / name, make()) for name, make in contents.items()}
    head = manifest(result) | {"files": digests, "run": result.run}
    if per_protein:
        folders.take_along(per_protein, folder / PER_PROTEIN)
        head["per_protein"] = folders.tables(folder / PER_PROTEIN)
    _write_file(folder / "manifest.json", [json_bytes(head)])


def _write_file(path: Path, content: Iterable[bytes]) -> str:
    """Write and flush a file; its SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with flushed_file(path) as stream:
        for part in content:
            digest.update(part)
            stream.write(part)
    return digest.hexdigest()


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
        raise ResultError(f"{folder}: {_why_incomplete(head)}")
    try:
        result = rebuild(head, read_counts(folder, head), read_remarks(folder, head))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{folder}: manifest.json and counts.safetensors do not fit together "
            f"({type(error).__name__}: {error}); restore the folder from a copy or run it again"
        ) from error
    warn_of_changed_tables(folder, head)
    return result


def _why_incomplete(head: dict[str, Any]) -> str:
    shard = head.get("shard")
    if shard is None or shard.get("interrupted"):
        return (
            "incomplete, its analysis was interrupted. Run the analysis again, or use what there "
            "is with allow_partial=True (--allow-partial)"
        )
    return (
        f"incomplete, it holds shard {', '.join(map(str, shard['parts']))} of {shard['of']}. Merge "
        "it with the others (provis-fast merge), or use what there is with allow_partial=True "
        "(--allow-partial)"
    )


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
    known = {*FILES, PER_PROTEIN, *((*PAGES, FIGURES) if is_result else ())}
    others = sorted(set(entries) - known) + (foreign_pages(target) if is_result else [])
    if PER_PROTEIN in entries:
        others += [f"{PER_PROTEIN}/{name}" for name in folders.foreign(target / PER_PROTEIN)]
    return others or ([] if is_result or not entries else ["files without manifest.json"])


def check_partial(folder: str | PathLike[str]) -> Path:
    """Make sure that what an analysis for `folder` needs on its way can be kept beside it.

    Returns
    -------
    Path
        `partial_folder`; it may hold a checkpoint, and an incomplete result.

    Raises
    ------
    ResultError
        Something else stands there, or the place cannot be written.
    """
    return check_target(partial_folder(folder), "partial result", _foreign_in_partial)


def _foreign_in_partial(target: Path) -> list[str]:
    known = {*_PARTIAL_FILES, checkpoint.SPOOL}
    return sorted({entry.name for entry in target.iterdir()} - known)


def remove_partial(folder: Path) -> None:
    """Delete a `partial_folder` that is of no use any more; ResultError where one is at work."""
    if not folder.is_dir():
        return
    with locked(folder):
        for name in _PARTIAL_FILES - {LOCK}:
            (folder / name).unlink(missing_ok=True)
        if (folder / checkpoint.SPOOL).is_dir():
            shutil.rmtree(folder / checkpoint.SPOOL)
    if folder.is_dir():
        folder.rmdir()


def partial_folder(folder: str | PathLike[str]) -> Path:
    """Where an interrupted analysis for `folder` is kept: ``DIR.partial``."""
    target = Path(os.path.realpath(folder))
    return target.with_name(target.name + ".partial")
