"""What the commands do with a result: save it, show it, and turn it into an exit status."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from provis_fast import checkpoint, storage, tables
from provis_fast.cli import OK, SOME_FAILED
from provis_fast.errors import ResultError
from provis_fast.interruptions import ignoring_interruptions
from provis_fast.outcome import aside_line
from provis_fast.statistics import HeadStatistics

_SHOWN = 10


def target(folder: str, overwrite: bool) -> Path:
    """Where a result will stand, checked before the work is done.

    Raises
    ------
    ResultError
        It cannot be written, holds other things, or holds a result that is not to be replaced.
    """
    found = storage.check_writable(folder)
    if not overwrite and (found / "manifest.json").exists():
        raise ResultError(
            f"--out: {folder} holds an earlier result; give another folder, or replace that result "
            "with --overwrite"
        )
    return found


def partial_target(folder: str, overwrite: bool) -> Path:
    """Where an analysis keeps what it needs on its way, checked before the work is done.

    Raises
    ------
    ResultError
        It cannot be written, or an earlier result without a checkpoint stands there that is not to
        be replaced.
    """
    place = storage.check_partial(folder)
    resumable = (place / checkpoint.FILE).exists()
    if not overwrite and not resumable and (place / "manifest.json").exists():
        raise ResultError(
            f"--out: {place} holds what an interrupted analysis has left, and would be replaced if "
            "this one were interrupted too; move it away, or use --overwrite"
        )
    return place


def save(
    result: HeadStatistics, folder: Path, overwrite: bool = False, per_protein: Sequence[Path] = ()
) -> None:
    """Save a result and its tables; where that fails, try the system's temporary folder instead.

    Without `overwrite` a result that has come to stand in `folder` meanwhile is left alone.

    Raises
    ------
    ResultError
        The result could not be saved where it should; the message says where it is instead.
    """

    def save_in(place: Path) -> None:
        if not overwrite and (place / "manifest.json").exists():
            raise ResultError(f"{place}: another result has been written there meanwhile")
        storage.save(result, place, per_protein)

    save_or_rescue(save_in, folder, "result")


def save_partial(result: HeadStatistics, folder: Path) -> None:
    """Save the result of an interrupted analysis beside its checkpoint, or else as `save` does."""
    save_or_rescue(partial(storage.save_beside_checkpoint, result), folder, "result")


def save_or_rescue(save_in: Callable[[Path], None], folder: Path, what: str) -> None:
    """Save into `folder`; where that fails, try the system's temporary folder before giving up.

    Ctrl-C, pressed once more, changes nothing until the files are safe; nor does SIGTERM.

    Raises
    ------
    ResultError
        It could not be saved where it should; the message says where it is instead.
    """
    with ignoring_interruptions():
        try:
            save_in(folder)
        except ResultError as error:
            try:
                spare = Path(tempfile.mkdtemp(prefix=f"provis_fast-{folder.name}-"))
            except OSError:
                raise error from None
            try:
                save_in(spare)
            except ResultError:
                with suppress(OSError):
                    os.rmdir(spare)
                raise error from None
            raise ResultError(f"{error}\nThe {what} was saved in {spare} instead") from error


def show(result: HeadStatistics, folder: Path, rows: int = 5) -> None:
    """Print the heads that stand out, what was read, and where the files are."""
    lines = [
        tables.caption(result),
        "",
        tables.to_text(result, rows),
        "",
        f"{result.read:,} proteins read: {result.analysed:,} analysed, {result.skipped:,} skipped, "
        f"{result.failed:,} failed; {result.residues:,} residues",
    ]
    if result.interrupted:
        lines.append("Incomplete: an analysis was interrupted; merge takes it with --allow-partial")
    elif not result.complete:
        shard = result.shard
        held = "some shards" if shard is None else f"shard {_listed(shard.parts)} of {shard.of}"
        lines.append(f"Incomplete: {held} of the input; merge pools them when all are there")
    has_tables = (folder / storage.PER_PROTEIN).exists()
    names = [*storage.FILES, *[f"{storage.PER_PROTEIN}/"] * has_tables]
    lines.append(f"Files: {folder}/ ({', '.join(names)})")
    say("\n".join(lines), folder)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def say(text: str, folder: Path) -> None:
    """Print on stdout; where that cannot be written, say where the result is all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        pass  # whoever read it has seen enough
    except OSError as error:
        tell(f"stdout cannot be written ({error.strerror}); the result is in {folder}")


def tell(line: str) -> None:
    """Print a line on stderr; where that cannot be written, the files say it all the same."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def explain(result: HeadStatistics, folder: Path) -> None:
    """Say on stderr what was not analysed and why, and repeat the notes."""
    notes, reasons = result.notes, result.set_aside  # what concerns every number comes first
    lines = {
        "notes": [f"note: {note}" for note in notes[:_SHOWN]],
        "proteins skipped or failed": [aside_line(entry) for entry in reasons[:_SHOWN]],
    }
    for (what, shown), every in zip(lines.items(), (notes, reasons), strict=True):
        for line in shown:
            tell(line)
        if len(every) > _SHOWN:
            tell(f"{len(every) - _SHOWN:,} more {what}: see {folder / 'failed.tsv'}")


def status(result: HeadStatistics) -> int:
    """Exit status of a finished analysis; of one without a single protein there is no result."""
    return SOME_FAILED if result.failed else OK
