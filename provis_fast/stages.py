"""How long the stages of an analysis take, how fast each of them is, and which one limits it.

Stages run at the same time in several threads and processes, each of which is a *lane*. A stage is
timed per unit of work, never per residue:

    with stages.timed("forward", unit="3.1") as span:
        span.count(proteins=12, tokens=4096)

Where one stage is timed inside another one, the time is the inner one's alone, so that the stages
of a lane never add up to more than has passed.

==========  =====================================================================================
stage       what is done
==========  =====================================================================================
read        reading files: records of the input
featurise   packing: tokens, labels, bitmaps
forward     the model's forward pass, to its last analysed layer, `attention` aside
attention   within it, attention and its statistics by our kernels; on a CPU only, as a GPU works
            on after it was told: there it is part of `forward`
statistics  adding what the kernels have counted to the totals
checkpoint  writing checkpoints
write       writing tables of single proteins, once all rows are there
wait        waiting for another stage; limits nothing by itself
==========  =====================================================================================
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

STAGES = ("read", "featurise", "forward", "attention", "statistics", "checkpoint", "write", "wait")
#: A stage that is timed within another one and belongs to it where rates are told.
PART_OF = {"attention": "forward"}
WAIT = "wait"

T = TypeVar("T")

_END: Any = object()

_LIMITS = {
    "read": "reading",
    "featurise": "preparing packs",
    "forward": "the forward pass",
    "statistics": "adding up",
    "checkpoint": "writing checkpoints",
    "write": "writing tables",
}


#: How many times as fast as the slowest a stage is to be left out of what is said.
_NEXT_TO_NONE = 500


class Lane(NamedTuple):
    """What works by itself.

    Attributes
    ----------
    process, thread : str
    """

    process: str
    thread: str


class Total(NamedTuple):
    """What a stage has done in a lane.

    Attributes
    ----------
    seconds : float
        Spent in it, less what was timed inside.
    proteins, tokens, bytes : int
        That went through it, where counted.
    """

    seconds: float = 0.0
    proteins: int = 0
    tokens: int = 0
    bytes: int = 0

    def plus(self, other: Total) -> Total:
        """Both together."""
        return Total(
            self.seconds + other.seconds,
            self.proteins + other.proteins,
            self.tokens + other.tokens,
            self.bytes + other.bytes,
        )


class Span(NamedTuple):
    """One stretch of work.

    Attributes
    ----------
    lane : Lane
    stage : str
    began : float
        Seconds, of `time.perf_counter`, which processes of one machine have in common.
    seconds : float
        Altogether, with what was timed inside.
    sizes : dict
        What was worked on, for whoever looks at the trace.
    """

    lane: Lane
    stage: str
    began: float
    seconds: float
    sizes: dict[str, Any]


class StageTimes(NamedTuple):
    """What was timed in a process; travels to another one, and is added there by `Stages.merge`.

    Attributes
    ----------
    totals : dict of (Lane, str) to Total
    spans : tuple of Span
        Empty unless they are kept.
    """

    totals: dict[tuple[Lane, str], Total]
    spans: tuple[Span, ...] = ()


class Stages:
    """Times of the stages of one analysis; any thread may add to it.

    Parameters
    ----------
    process : str
        What to call this process.
    spans : int
        How many of the latest spans to keep for a trace.

    Attributes
    ----------
    room : int
        As `spans`.
    dropped : int
        Earlier spans that were not kept for want of room.
    """

    def __init__(self, process: str = "provis_fast", *, spans: int = 0):
        self.process = process
        self.dropped = 0
        self.room = spans
        self._spans: deque[Span] = deque()
        self._totals: dict[tuple[Lane, str], Total] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The latest spans, in the order in which they ended."""
        with self._lock:
            return tuple(self._spans)

    @property
    def totals(self) -> dict[tuple[Lane, str], Total]:
        """A copy of the totals so far; work under way is not in them."""
        with self._lock:
            return dict(self._totals)

    def timed(self, stage: str, **sizes: Any) -> Timed:
        """Time a block of code as a stage.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        **sizes
            What is worked on, for the trace; JSON types.

        Returns
        -------
        Timed
            A context manager, to be entered once.
        """
        if stage not in STAGES:
            raise ValueError(f"stage: expected one of {', '.join(STAGES)}, got {stage!r}")
        return Timed(self, stage, sizes)

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """The items, the time until each comes taken for `wait`."""
        stream = iter(items)
        while True:
            with self.timed(WAIT):
                item = next(stream, _END)
            if item is _END:
                return
            yield item

    def add(self, lane: Lane, stage: str, total: Total, span: Span | None = None) -> None:
        """Add work that was timed elsewhere."""
        key = lane, stage
        with self._lock:
            before = self._totals.get(key)
            self._totals[key] = total if before is None else before.plus(total)
            if span is not None:
                self._keep((span,))

    def take(self) -> StageTimes:
        """All of it, and begin anew: what one process tells another from time to time."""
        with self._lock:
            times = StageTimes(self._totals, tuple(self._spans))
            self._totals = {}
            self._spans.clear()
        return times

    def merge(self, times: StageTimes) -> None:
        """Add what another process has told."""
        with self._lock:
            for key, total in times.totals.items():
                self._totals[key] = self._totals.get(key, Total()).plus(total)
            self._keep(times.spans)

    def rates(self, proteins: int = 0) -> dict[str, float]:
        """Proteins per second that each stage could deliver if it had to wait for no other.

        Parameters
        ----------
        proteins : int
            Taken for those of a stage that does not count them.

        Returns
        -------
        dict of str to float
            By stage, in the order of `STAGES`. A stage that runs in several lanes is as many times
            as fast; `attention` is part of `forward`. Stages without work are left out.
        """
        totals, lanes = self._by_stage()
        rates: dict[str, float] = {}
        for stage in STAGES:
            total = totals.get(stage)
            if total is None or stage == WAIT or total.seconds <= 0:
                continue
            if done := total.proteins or proteins:
                rates[stage] = done * lanes[stage] / total.seconds
        return rates

    def seconds(self) -> dict[str, float]:
        """Seconds spent in each stage, in all lanes together; those of a part are its own."""
        spent: dict[str, float] = {}
        for (_, stage), total in self.totals.items():
            spent[stage] = spent.get(stage, 0.0) + total.seconds
        return {stage: spent[stage] for stage in STAGES if stage in spent}

    def limit(self) -> str | None:
        """The stage that the others wait for: what the busiest lane does most; None before any."""
        lanes: dict[Lane, dict[str, float]] = {}
        for (lane, stage), total in self.totals.items():
            if stage != WAIT:
                busy = lanes.setdefault(lane, {})
                whole = PART_OF.get(stage, stage)
                busy[whole] = busy.get(whole, 0.0) + total.seconds
        if not lanes:
            return None
        busiest = max(lanes.values(), key=lambda busy: sum(busy.values()))
        return max(busiest, key=busiest.__getitem__)

    def _by_stage(self) -> tuple[dict[str, Total], dict[str, int]]:
        """Totals of all lanes, parts added to what they are part of, and numbers of lanes."""
        totals: dict[str, Total] = {}
        lanes: dict[str, set[Lane]] = {}
        for (lane, stage), total in self.totals.items():
            whole = PART_OF.get(stage, stage)
            totals[whole] = totals.get(whole, Total()).plus(total)
            lanes.setdefault(whole, set()).add(lane)
        return totals, {stage: len(found) for stage, found in lanes.items()}

    def _keep(self, spans: Iterable[Span]) -> None:
        for span in spans:
            if not self.room:
                return
            if len(self._spans) == self.room:
                self._spans.popleft()
                self.dropped += 1
            self._spans.append(span)

    def _open(self) -> list[Timed]:
        """What this thread is timing, from the outside in."""
        try:
            return self._local.open
        except AttributeError:
            name = threading.current_thread().name.removeprefix("provis_fast-")
            self._local.lane = Lane(self.process, name)
            self._local.open = []
            return self._local.open

    def _closed(self, timed: Timed, seconds: float) -> None:
        opened = self._open()
        while opened and opened.pop() is not timed:
            pass  # one that Ctrl-C kept from being closed
        if opened:
            opened[-1].inside += seconds
        lane, stage = self._local.lane, timed.stage
        span = Span(lane, stage, timed.began, seconds, timed.sizes) if self.room else None
        self.add(lane, stage, timed.total(seconds - timed.inside), span)


class Timed:
    """A block of code that is being timed.

    Attributes
    ----------
    stage : str
    sizes : dict
        For the trace; may be added to until the block is over.
    began : float
        Seconds, of `time.perf_counter`.
    inside : float
        Seconds of what was timed inside.
    """

    __slots__ = ("_counts", "_stages", "began", "inside", "sizes", "stage")

    def __init__(self, stages: Stages, stage: str, sizes: dict[str, Any]):
        self._stages, self.stage, self.sizes = stages, stage, sizes
        self._counts = (0, 0, 0)
        self.began = self.inside = 0.0

    def count(self, *, proteins: int = 0, tokens: int = 0, bytes: int = 0) -> None:
        """Say how much has gone through the stage."""
        self._counts = (proteins, tokens, bytes)
        for name, n in zip(("proteins", "tokens", "bytes"), self._counts, strict=True):
            if n:
                self.sizes[name] = n

    def part(self, stage: str, seconds: float) -> None:
        """Say how long another stage took inside this one, in many stretches taken together."""
        self.inside += seconds
        self.sizes[f"{stage}_seconds"] = round(seconds, 6)
        lane = self._stages._local.lane
        self._stages.add(lane, stage, Total(seconds, *self._counts))

    def total(self, seconds: float) -> Total:
        """What to add to the stage's."""
        return Total(max(seconds, 0.0), *self._counts)

    def __enter__(self) -> Timed:
        self._stages._open().append(self)
        self.began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stages._closed(self, time.perf_counter() - self.began)


def in_words(rates: Mapping[str, float], limit: str | None) -> str:
    """Rates and the limit as a line of text; stages that take next to no time are left out.

    >>> in_words({"read": 12000.4, "forward": 41.31, "statistics": 900}, "forward")
    'read 12,000 proteins/s, forward 41.3, statistics 900: the forward pass limits the run'
    """
    slowest = min(rates.values(), default=0.0)
    shown = [
        f"{stage} {rate:,.0f}" if rate >= 100 else f"{stage} {rate:.3g}"
        for stage, rate in rates.items()
        if rate <= _NEXT_TO_NONE * slowest
    ]
    if not shown:
        return ""
    shown[0] += " proteins/s"
    end = f": {_LIMITS[limit]} limits the run" if limit in _LIMITS else ""
    return ", ".join(shown) + end
