"""Tells whoever wants to know how an analysis is getting on, and how long it will take."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from provis_fast.events import (
    Ended,
    Event,
    EventCallback,
    Progress,
    RecordSetAside,
    Started,
)
from provis_fast.stages import Stages

if TYPE_CHECKING:
    from provis_fast.statistics import HeadStatistics
    from provis_fast.units import Shard

#: Called with the proteins done, the tokens done, and the proteins altogether (None: not known).
ProgressCallback = Callable[[int, int, int | None], None]

#: Packs may be done in milliseconds; nobody needs an event for each.
_PROGRESS_INTERVAL = 0.1  # seconds


class Pace:
    """Speed of late, and the time left by it.

    The speed is that of the last half minute, or of the last quarter of the time where that is
    longer: the first packs, which are slow, are soon forgotten, and so is what came before a part
    of the input with longer proteins. Work done before the clock started does not count.

    Parameters
    ----------
    done : int
        Done before.
    now : float
        The time, in seconds of any clock.
    """

    WINDOW = 30.0  # seconds
    SHARE = 0.25  # of the time that has passed
    #: Before that much time has passed nothing is foretold.
    FIRST = 1.0  # seconds

    def __init__(self, done: int = 0, now: float = 0.0):
        self._began, self._samples = now, deque([(now, done)])
        self._latest = now, done

    def update(self, done: int, now: float) -> None:
        """Take note of how much is done."""
        self._latest = now, done
        window = max(self.WINDOW, self.SHARE * (now - self._began))
        if now - self._samples[-1][0] >= window / 64:
            self._samples.append((now, done))
        # The first sample is the last one from before the window.
        while len(self._samples) > 1 and self._samples[1][0] <= now - window:
            self._samples.popleft()

    def rate(self) -> float | None:
        """Work per second, or None while it cannot be told."""
        (then, before), (now, done) = self._samples[0], self._latest
        if now - then < self.FIRST or done <= before:
            return None
        return (done - before) / (now - then)

    def left(self, total: int | None) -> float | None:
        """Seconds until `total` is done, or None while it cannot be told."""
        if total is None:
            return None
        left = total - self._latest[1]
        if left <= 0:
            return 0.0
        rate = self.rate()
        return None if rate is None else left / rate


class Watch:
    """Watches one analysis.

    Parameters
    ----------
    progress : callable, optional
        See `ProgressCallback`.
    events : callable, optional
        See `provis_fast.events`.
    stages : Stages, optional
        Where its stages are timed.

    Attributes
    ----------
    stages : Stages
    """

    def __init__(
        self,
        progress: ProgressCallback | None = None,
        events: EventCallback | None = None,
        stages: Stages | None = None,
    ):
        self.stages = stages or Stages()
        self._progress, self._events = progress, events
        self._clock, self._cpu = time.perf_counter(), _cpu_seconds()
        self._pace = Pace()
        self._before = 0  # proteins that earlier sessions have done
        self._tokens = 0
        self._told = -_PROGRESS_INTERVAL

    @property
    def seconds(self) -> float:
        """Since the beginning of this session."""
        return time.perf_counter() - self._clock

    @contextmanager
    def over(
        self, result: HeadStatistics, device: object, shard: Shard, earlier_tokens: int
    ) -> Iterator[None]:
        """Tell how the block begins and ends.

        Parameters
        ----------
        result : HeadStatistics
            Of the analysis; with what earlier sessions have done in it.
        device : torch.device
        shard : Shard
        earlier_tokens : int
            Run by earlier sessions.
        """
        self._before, self._tokens = result.read, earlier_tokens
        self._pace = Pace(self._before, self.seconds)
        self.tell(
            Started(
                result.model,
                result.inputs,
                result.options | {"properties": [prop.name for prop in result.properties]},
                {name: values[0] for name, values in result.versions.items()},
                str(device),
                self._before,
                earlier_tokens,
                tuple(shard),
            )
        )
        try:
            yield
        except KeyboardInterrupt:
            self._ended("interrupted", result)
            raise
        except Exception as error:
            self._ended("failed", result, str(error) or type(error).__name__)
            raise
        self._ended("complete", result)

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        if self._events is not None:
            self._events(event)

    def progressed(
        self, proteins: int, tokens: int, total: int | None, *, last: bool = False
    ) -> None:
        """So many proteins are done; the last call is told in any case."""
        self._tokens = tokens
        if self._progress is not None:
            self._progress(proteins, tokens, total)
        if self._events is None:
            return
        now = self.seconds
        self._pace.update(proteins, now)
        if last or now - self._told >= _PROGRESS_INTERVAL:
            self._told = now
            left = self._pace.left(total)
            rates = self.stages.rates(proteins - self._before)
            self.tell(Progress(proteins, tokens, total, now, left, rates, self.stages.limit()))

    def set_aside(self, record: Any) -> None:
        """A record is not analysed; see `RecordSetAside`."""
        if self._events is not None:
            self.tell(
                RecordSetAside(record.id, record.status, record.reason, record.source, record.line)
            )

    def _ended(self, status: str, result: HeadStatistics, reason: str = "") -> None:
        if self._events is None:
            return
        self.tell(
            Ended(
                status,
                result.analysed,
                result.skipped,
                result.failed,
                self._tokens,
                self.seconds,
                self.stages.seconds(),
                self.stages.rates(result.read - self._before),
                self.stages.limit(),
                _cpu_seconds() - self._cpu,
                reason,
            )
        )


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
