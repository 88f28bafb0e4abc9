"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import shutil
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TextIO

_BAR_INTERVAL = 0.2  # seconds; faster than that nobody reads
_LINE_INTERVAL = 10.0  # seconds; log files stay short


class ProgressReport:
    """Shows how far an analysis has come, as long as the stream can be written.

    Parameters
    ----------
    stream : text stream, optional
        Default stderr.
    unit : str
        What is counted beside proteins.
    """

    def __init__(self, stream: TextIO | None = None, unit: str = "tokens"):
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._shown = -math.inf  # the first report is shown at once
        self._unseen: str | None = None
        self._width = 0

    def __call__(self, proteins: int, tokens: int, total: int | None = None) -> None:
        """Take note of progress; the engine calls this after every batch.

        Parameters
        ----------
        proteins, tokens : int
            Done so far.
        total : int, optional
            Proteins altogether, where known.
        """
        now = time.monotonic()
        self._unseen = self._text(proteins, tokens, total, now - self._start)
        if now - self._shown >= (_BAR_INTERVAL if self._is_terminal else _LINE_INTERVAL):
            self._show(self._unseen)
            self._shown, self._unseen = now, None

    def __enter__(self) -> ProgressReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unseen is not None:
            self._show(self._unseen)
        if self._width:
            self._write("\n")

    def _show(self, text: str) -> None:
        if not self._is_terminal:
            self._write(f"{text}\n")
        else:
            line = text[: shutil.get_terminal_size().columns - 1]
            self._write(f"\r{line.ljust(self._width)}")
            self._width = len(line)

    def _write(self, text: str) -> None:
        # A reader that has gone, or a log on a full disk, is no reason to stop an analysis.
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _text(self, proteins: int, tokens: int, total: int | None, seconds: float) -> str:
        seconds = max(seconds, 1e-9)
        rates = f"{proteins / seconds:,.1f} proteins/s, {tokens / seconds:,.0f} {self._unit}/s"
        if not total:
            return f"{proteins:,} proteins, {rates}"
        share = min(proteins / total, 1.0)
        left = clock(seconds * (1 - share) / share) if share else "unknown time"
        bar = ""
        if self._is_terminal:
            bar = f"[{'#' * round(20 * share)}{'.' * (20 - round(20 * share))}] "
        return f"{bar}{proteins:,}/{total:,} proteins ({share:.0%}), {rates}, {left} left"


def clock(seconds: float) -> str:
    """A time span as h:mm:ss or m:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
