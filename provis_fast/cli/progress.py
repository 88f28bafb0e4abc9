"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import shutil
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TextIO

from provis_fast.events import Ended, Event, Progress, Started
from provis_fast.stages import in_words
from provis_fast.watch import Pace

_BAR_INTERVAL = 0.2  # seconds; faster than that nobody reads
#: Seconds between lines: a tenth of what has passed, within these. Log files stay short.
_LINE_INTERVALS = (10.0, 60.0)


class ProgressReport:
    """Shows how far an analysis has come, as long as the stream can be written.

    It can be called for progress (`analyze(progress=)`), or listen to events (`analyze(events=)`),
    which tell more: what was done before, and how fast each stage was.

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
        self._pace = Pace(0, self._start)
        self._before = (0, 0)  # proteins and tokens done before
        self._device = ""
        self._shown = -math.inf  # the first report is shown at once
        self._unseen: str | None = None
        self._width = 0
        self._last_words = ""

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
        self._pace.update(proteins, now)
        self._unseen = self._text(proteins, tokens, total, now - self._start)
        if now - self._shown >= self._interval(now - self._start):
            self._show(self._unseen)
            self._shown, self._unseen = now, None

    def listen(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case Started():
                self._before, self._device = (event.proteins, event.tokens), event.device
                self._start = time.monotonic()
                self._pace = Pace(event.proteins, self._start)
                if event.proteins:
                    self._line(f"Resumed after {event.proteins:,} proteins.")
            case Progress():
                self(event.proteins, event.tokens, event.total)
            case Ended():
                self._last_words = self._told(event)

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
        if self._last_words:
            self._write(f"{self._last_words}\n")

    def _interval(self, seconds: float) -> float:
        if self._is_terminal:
            return _BAR_INTERVAL
        least, most = _LINE_INTERVALS
        return min(max(seconds / 10, least), most)

    def _show(self, text: str) -> None:
        if not self._is_terminal:
            self._write(f"{text}\n")
        else:
            line = text[: shutil.get_terminal_size().columns - 1]
            self._write(f"\r{line.ljust(self._width)}")
            self._width = len(line)

    def _line(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._write(f"{chr(13) + text.ljust(self._width) if self._width else text}\n")
        self._width = 0

    def _write(self, text: str) -> None:
        # A reader that has gone, or a log on a full disk, is no reason to stop an analysis.
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _text(self, proteins: int, tokens: int, total: int | None, seconds: float) -> str:
        seconds = max(seconds, 1e-9)
        rate = self._pace.rate()
        if rate is None:
            rate = (proteins - self._before[0]) / seconds
        tokens_rate = (tokens - self._before[1]) / seconds
        rates = f"{rate:,.1f} proteins/s, {tokens_rate:,.0f} {self._unit}/s"
        if not total:
            return f"{proteins:,} proteins, {rates}"
        share = min(proteins / total, 1.0)
        left = self._pace.left(total)
        remaining = "unknown time" if left is None else clock(left)
        bar = ""
        if self._is_terminal:
            bar = f"[{'#' * round(20 * share)}{'.' * (20 - round(20 * share))}] "
        return f"{bar}{proteins:,}/{total:,} proteins ({share:.0%}), {rates}, {remaining} left"

    def _told(self, event: Ended) -> str:
        """How fast the stages were, and what was used."""
        used = f"{clock(event.cpu_seconds)} of CPU time"
        if self._device.startswith("cuda"):
            used += f", {clock(event.stage_seconds.get('forward', 0.0))} of GPU time"
        speeds = in_words(event.rates, event.limit)
        return f"{speeds}; {used}" if speeds else ""


def clock(seconds: float) -> str:
    """A time span as h:mm:ss or m:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
