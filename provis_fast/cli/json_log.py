"""The run of an analysis as JSON lines, for programs that watch it (``--log-json FILE``).

One JSON object per line, written as soon as it happens. Every object has ``event`` and ``time``
(UTC, ISO 8601). Numbers are finite: what is not known, and what is no number, is null. A reader
must ignore keys and events that it does not know; a change that would break it raises
``format_version``.

==============  ==================================================================================
event           keys
==============  ==================================================================================
start           format ("provis_fast.log"), format_version (1), command, model, inputs (the first
                100; n_inputs says how many there are), options, versions, device, proteins and
                tokens (done by earlier sessions), shard
progress        proteins, tokens, total, seconds, seconds_left, rates (proteins per second of each
                stage; see `provis_fast.stages`), limit; at most one a second
set_aside       id, status ("skipped", "failed"), reason, file, line
checkpoint      proteins, path, seconds
worker_started  worker, device
worker_died     worker, reason
warning         level, logger, message: what the package logs at WARNING and above
end             status ("complete", "interrupted", "failed"), analysed, skipped, failed, tokens,
                seconds, stage_seconds, rates, limit, cpu_seconds, reason
exit            exit_status, message, lost_lines (lines that could not be written); the last line
==============  ==================================================================================

Where FILE is ``-``, the lines go to stderr; messages for people, which do not begin with ``{``, may
stand between them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from provis_fast.atomic import cannot_write
from provis_fast.cli import INTERRUPTED, UNUSABLE
from provis_fast.errors import ResultError
from provis_fast.events import (
    Checkpointed,
    Ended,
    Event,
    Progress,
    RecordSetAside,
    Started,
    WorkerDied,
    WorkerStarted,
)

FORMAT = "provis_fast.log"
FORMAT_VERSION = 1
_PROGRESS_INTERVAL = 1.0  # seconds
_INPUTS = 100

_NAMES: dict[type, str] = {
    Started: "start",
    Progress: "progress",
    RecordSetAside: "set_aside",
    Checkpointed: "checkpoint",
    WorkerStarted: "worker_started",
    WorkerDied: "worker_died",
    Ended: "end",
}
_KEYS = {(RecordSetAside, "source"): "file"} | {
    (kind, "name"): "worker" for kind in (WorkerStarted, WorkerDied)
}


class JsonLog(logging.Handler):
    """Writes events, and what the package logs, as JSON lines; a context manager.

    A disk that is full, or a reader that has gone, stops nothing: lines that cannot be written are
    counted, and a half-written one is taken back or ended.

    Parameters
    ----------
    path : str
        The file, which is replaced; "-" for stderr.

    Attributes
    ----------
    on_stderr : bool

    Raises
    ------
    ResultError
        The file cannot be opened.
    """

    def __init__(self, path: str):
        super().__init__(logging.WARNING)
        self._lock_lines = threading.Lock()
        self._lost, self._half = 0, False
        self._progress: Progress | None = None
        self._told = -math.inf
        self._status: int | None = None
        self.on_stderr = path == "-"
        try:
            if path == "-":
                self._descriptor = os.dup(sys.stderr.fileno())
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(path, flags, 0o666)
        except (OSError, AttributeError, ValueError) as error:  # stderr may be closed
            if not isinstance(error, OSError):
                error = OSError(f"it is closed: {error}")
            raise cannot_write(path if path != "-" else "stderr", error) from error

    def listen(self, event: Event) -> None:
        """Write an event; of progress, one a second at most, and the last one in any case."""
        if isinstance(event, Progress):
            now = time.monotonic()
            if now - self._told < _PROGRESS_INTERVAL:
                self._progress = event
                return
            self._told = now
        elif isinstance(event, Ended) and self._progress is not None:
            self._event(self._progress)
        self._progress = None
        self._event(event)

    def emit(self, record: logging.LogRecord) -> None:
        """Write what was logged."""
        with suppress(Exception):  # a message that does not fit its arguments stops nothing
            self._write(
                "warning",
                level=record.levelname,
                logger=record.name,
                message=record.getMessage(),
            )

    def exits(self, status: int) -> int:
        """Take note of the exit status, and hand it on."""
        self._status = status
        return status

    def __enter__(self) -> JsonLog:
        logging.getLogger("provis_fast").addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.getLogger("provis_fast").removeHandler(self)
        status = self._status
        if kind is not None:
            status = INTERRUPTED if issubclass(kind, KeyboardInterrupt) else UNUSABLE
        message = None if error is None else str(error) or kind.__name__
        self._write("exit", exit_status=status, message=message, lost_lines=self._lost)
        with suppress(OSError):
            os.close(self._descriptor)

    def _event(self, event: Event) -> None:
        kind = type(event)
        content = {
            _KEYS.get((kind, field.name), field.name): getattr(event, field.name)
            for field in fields(event)
        }
        if kind is Started:
            head = {"format": FORMAT, "format_version": FORMAT_VERSION, "command": sys.argv}
            content = head | content | {"inputs": event.inputs[:_INPUTS]}
            content["n_inputs"] = len(event.inputs)
        self._write(_NAMES[kind], **content)

    def _write(self, event: str, **content: Any) -> None:
        when = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps(plain({"event": event, "time": when} | content), allow_nan=False)
        with self._lock_lines:
            line = ("\n" if self._half else "") + text + "\n"
            if not self._written(line.encode("ascii")):
                self._lost += 1

    def _written(self, line: bytes) -> bool:
        """Write a line whole; where that fails, leave the file as it was if that is possible."""
        n = 0
        try:
            while n < len(line):
                n += os.write(self._descriptor, line[n:])
        except OSError:
            if n:
                self._half = True
                with suppress(OSError):  # it is no regular file
                    if not self.on_stderr:  # where others write as well
                        size = os.fstat(self._descriptor).st_size
                        os.ftruncate(self._descriptor, size - n)
                        self._half = False
            return False
        self._half = False
        return True


def plain(value: Any) -> Any:
    """The value in JSON's types: what is no finite number is None, what UTF-8 cannot hold escaped.

    >>> plain({"rate": float("nan"), "ids": ("a", 1)})
    {'rate': None, 'ids': ['a', 1]}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # NumPy's scalars
        return plain(value.item())
    return plain(str(value))


def opened(path: str | None) -> JsonLog | None:
    """The log of ``--log-json``, or None without it."""
    if path is None:
        return None
    if not path:
        raise ResultError("--log-json: expected the name of a file, or -, got ''")
    return JsonLog(path)
