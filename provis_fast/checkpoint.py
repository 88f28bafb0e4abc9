"""Checkpoints: the state of an analysis on the disk, from which a killed one continues.

``checkpoint.safetensors`` is one file, replaced as a whole: written under another name, flushed to
the disk, renamed, and its folder flushed. Its tensors:

``NAME.hi``, ``NAME.lo``
    Totals so far, as in ``counts.safetensors`` of a result (`provis_fast.storage`).
``digests`` (uint64)
    Of the proteins analysed, in the order in which they were.
``remarks`` (uint8)
    Remarks about records, compressed.

Its metadata hold ``format``, ``format_version``, ``sha256`` (of all the rest) and ``state``, JSON:
``fingerprint`` (what must be equal to continue), ``done`` (units), ``analysed``, ``residues``,
``remarks`` (how that tensor is made up), ``counted_notes``, ``run`` (the sessions so far), and
``tables`` (what the tables of rows per protein need to be continued; null without).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.atomic import flush_folder, flushed_file
from provis_fast.errors import ResultError
from provis_fast.fixed128 import Int128
from provis_fast.folder_lock import LOCK
from provis_fast.identity import differences
from provis_fast.interruptions import uninterrupted
from provis_fast.record_log import RecordLog

logger = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"
_TEMPORARY = f".{FILE}.new"
FILES = (FILE, _TEMPORARY, LOCK)
"""The checkpoint, and what a process that was killed at its work may have left."""
SPOOL = "per_protein.spool"
"""Folder beside it, where rows about single proteins wait (`provis_fast.spool`)."""
FORMAT = "provis_fast.checkpoint"
FORMAT_VERSION = 1

_DIFFERENCES = 20


class OtherRunError(ResultError):
    """A checkpoint belongs to another run."""


@dataclass
class State:
    """What a checkpoint holds; see the module."""

    fingerprint: dict[str, Any]
    done: dict[str, Any]
    totals: dict[str, Int128]
    analysed: int
    residues: int
    remarks: RecordLog
    counted_notes: dict[str, int]
    digests: NDArray[np.uint64]
    run: list[dict[str, Any]]
    tables: Any = None


class Checkpoints:
    """Writes checkpoints now and then, and reads the last one.

    Parameters
    ----------
    folder : str or path
        Made when the first one is written.
    seconds : float
        From one to the next; 0 writes one whenever it is asked.
    """

    def __init__(self, folder: str | PathLike[str], seconds: float = 60.0):
        self.folder = Path(os.path.realpath(folder))
        self.path = self.folder / FILE
        self._seconds = seconds
        self._last = time.monotonic()

    def read(self, fingerprint: Mapping[str, Any]) -> State | None:
        """The last checkpoint of this run; None where there is none.

        Raises
        ------
        ResultError
            It is damaged, or of an unknown version.
        OtherRunError
            It is another run's; the message lists what differs.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ResultError(f"{self.path}: cannot be read ({error})") from error
        state = _decoded(content, self.path)
        lines = differences(state.fingerprint, fingerprint, "there", "now")
        if lines:
            more = len(lines) - _DIFFERENCES
            if more > 0:
                lines = [*lines[:_DIFFERENCES], f"  ... and {more} more"]
            raise OtherRunError(
                f"{self.path}: the checkpoint of another run, which differs in\n"
                + "\n".join(lines)
                + "\nFinish that one, or start anew with resume=False (--no-resume, or --overwrite)"
            )
        aside = state.remarks.count("skipped") + state.remarks.count("failed")
        logger.info(
            "continuing from %s: %s proteins are done, %s analysed and %s set aside",
            self.path,
            f"{state.analysed + aside:,}",
            f"{state.analysed:,}",
            f"{aside:,}",
        )
        return state

    def remove(self) -> None:
        """Delete the checkpoint and its rows, and the folder if nothing else is in it."""
        try:
            self.path.unlink(missing_ok=True)
            shutil.rmtree(self.folder / SPOOL, ignore_errors=True)
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise ResultError(f"{self.path}: cannot be deleted ({error})") from error

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._seconds

    def write(self, state: Callable[[], State]) -> bool:
        """Write a checkpoint; where that fails say so, and leave the last one as it is.

        Returns
        -------
        bool
            Whether it was written.
        """
        written = False
        temporary = self.path.with_name(_TEMPORARY)
        try:
            with uninterrupted():
                self.folder.mkdir(parents=True, exist_ok=True)
                with flushed_file(temporary) as stream:
                    stream.write(_encoded(state()))
                os.replace(temporary, self.path)
                flush_folder(self.folder)
            written = True
        except (OSError, ResultError) as error:  # the latter of the rows of single proteins
            logger.warning(
                "no checkpoint could be written in %s (%s); the analysis goes on, and it is tried "
                "again %s. Until then, what is lost if the process is killed is what was done "
                "since the last one",
                self.folder,
                getattr(error, "strerror", None) or error,
                f"in {self._seconds:g} seconds" if self._seconds else "after the next pack",
            )
            _remove_quietly(temporary)
        self._last = time.monotonic()
        return written


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        logger.debug("%s stays", path)


def _encoded(state: State) -> bytes:
    from safetensors.numpy import save as to_bytes

    tensors: dict[str, NDArray[Any]] = {}
    for name, total in state.totals.items():
        tensors[f"{name}.hi"] = np.ascontiguousarray(total.hi)
        tensors[f"{name}.lo"] = np.ascontiguousarray(total.lo)
    tensors["digests"] = np.ascontiguousarray(state.digests)
    tensors["remarks"], remarks = state.remarks.to_tensor()
    text = json.dumps(
        {
            "fingerprint": state.fingerprint,
            "done": state.done,
            "analysed": state.analysed,
            "residues": state.residues,
            "remarks": remarks,
            "counted_notes": state.counted_notes,
            "run": state.run,
            "tables": state.tables,
        }
    )
    return to_bytes(
        tensors,
        metadata={
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "sha256": _digest(text, tensors),
            "state": text,
        },
    )


def _digest(state: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _decoded(content: bytes, path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    damaged = (
        f"{path}: damaged ({{}}); delete it, or start anew with resume=False (--no-resume): what "
        "it held has to be done again"
    )
    try:
        tensors = from_bytes(content)
        size = int.from_bytes(content[:8], "little")
        head = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise ResultError(damaged.format(f"no safetensors file: {error}")) from error
    version = head.get("format_version")
    if head.get("format") != FORMAT or version != str(FORMAT_VERSION):
        raise ResultError(
            f"{path}: expected {FORMAT} version {FORMAT_VERSION}, got "
            f"{head.get('format', 'no format')} version {version}; continue with the release of "
            "provis_fast that wrote it, or start anew with resume=False (--no-resume)"
        )
    text = head.get("state", "")
    if _digest(text, tensors) != head.get("sha256"):
        raise ResultError(damaged.format("its digest is not the one that it names"))
    saved = json.loads(text)
    digests, remarks = tensors.pop("digests"), tensors.pop("remarks")
    names = sorted({name.rpartition(".")[0] for name in tensors})
    return State(
        saved["fingerprint"],
        saved["done"],
        {name: Int128(tensors[f"{name}.hi"], tensors[f"{name}.lo"]) for name in names},
        saved["analysed"],
        saved["residues"],
        RecordLog.from_tensor(remarks, saved["remarks"]),
        saved["counted_notes"],
        digests,
        saved["run"],
        saved["tables"],
    )
