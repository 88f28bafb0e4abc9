"""Workers at work: whatever they run on, they are started, fed, replaced and stopped here.

A *transport* knows how to start a worker somewhere and how to talk to it (`processes` and
`ray_engine` are transports). Everything that happens, in whatever thread, becomes an event in one
queue, and one loop deals with the events one after the other. Blocks are read in a thread of their
own, one at a time and only when there is nearly nothing left to lend: memory holds a few units for
each worker and no more, however large the input.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from provis_fast import errors, versions
from provis_fast.distributed.scheduling import AHEAD, Schedule, Task
from provis_fast.errors import ArgumentError, WorkerError
from provis_fast.events import EventCallback, WorkerDied, WorkerStarted
from provis_fast.partials import Partial
from provis_fast.units import Block, UnitKey

logger = logging.getLogger(__name__)

#: Workers that may die one after the other without a protein having been analysed in between. Each
#: protein that ends its worker costs two or three.
DEATHS_IN_A_ROW = 30


class Ready(NamedTuple):
    """A worker has loaded its model on `device`; `versions` are those of its software."""

    versions: dict[str, tuple[str, ...]]
    device: str = ""


class Began(NamedTuple):
    """A worker is about to run a unit, or one protein of a unit (its place in `members`)."""

    key: UnitKey
    member: int | None


class Logged(NamedTuple):
    """A worker's log message; `template` is what it has in common with others of its kind."""

    logger: str
    level: int
    template: str
    text: str
    noted: bool


class Failed(NamedTuple):
    """A worker cannot go on, because of an exception and not of its death."""

    error: BaseException


class Lost(NamedTuple):
    """A worker is no more; `how` follows "the worker process"."""

    how: str


Message = Ready | Began | Partial | Logged | Failed | Lost


class Worker(Protocol):
    """A worker as its transport shows it."""

    def give(self, tasks: Sequence[Task]) -> None:
        """Send tasks; a worker that is dead takes them silently, its `Lost` is on the way."""

    def leave(self) -> None:
        """Let it run what it has announced and waits with."""

    def stop(self) -> None:
        """End it at once, whatever it does; return when it has ended, or will for certain."""


class Transport(Protocol):
    """A way to have workers."""

    def start(self, place: int, post: Callable[[Message], None]) -> Worker:
        """Start the worker number `place`, from 0; `post` takes its messages, in any thread.

        After `Failed` or `Lost` nothing more is posted.
        """

    def close(self) -> None:
        """Give up everything; all workers have been stopped."""


class _Ended(NamedTuple):
    """The input has been read to its end."""


class _ReadingFailed(NamedTuple):
    error: BaseException


class _Reader:
    """Reads blocks in a thread, each when it is asked for."""

    def __init__(self, blocks: Iterator[Block], post: Callable[[Any], None]):
        self._blocks, self._post = blocks, post
        self._asked = threading.Semaphore(0)
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name="provis_fast-blocks", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have the next block posted, or `_Ended`, or `_ReadingFailed`."""
        self._asked.release()

    def _read(self) -> None:
        try:
            while True:
                self._asked.acquire()
                if self._stopped:
                    return
                block = next(self._blocks, None)
                if block is None:
                    break
                self._post(block)
        except BaseException as error:
            self._post(_ReadingFailed(error))
        else:
            self._post(_Ended())

    def stop(self) -> None:
        """End the thread, once it has read what it is reading."""
        self._stopped = True
        self._asked.release()


class Pool:
    """A number of workers, and the loop that keeps them busy.

    Parameters
    ----------
    transport : Transport
    workers : int
    schedule : Schedule
        Fresh.
    tell : callable, optional
        Called with `WorkerStarted` and `WorkerDied`.
    """

    def __init__(
        self,
        transport: Transport,
        workers: int,
        schedule: Schedule,
        tell: EventCallback | None = None,
    ):
        self._tell = tell or (lambda event: None)
        self._transport, self._schedule = transport, schedule
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._places = range(workers)
        self._workers: dict[int, Worker] = {}  # by number of start: a number is never used twice
        self._place_of: dict[int, int] = {}
        self._ready: set[int] = set()
        self._was_ready: set[int] = set()  # places
        self._started = 0
        self._failures: list[str] = []  # of starts, not told yet
        self._told: set[str] = set()
        self._ended = self._reading = False

    def over(self, blocks: Iterator[Block]) -> Iterator[Partial]:
        """Have all units of all blocks run.

        Yields
        ------
        Partial
            Sums over units that are now finished, to be absorbed; or, without any, the number of
            units of a block that was read.

        Raises
        ------
        WorkerError
            Workers cannot be started, or keep dying.
        Exception
            What a worker raises, or the reading of `blocks`.
        """
        reader = _Reader(blocks, lambda event: self._events.put((None, event)))
        try:
            for place in self._places:
                self._start(place)
            self._ask(reader)
            while not self._ended or self._schedule.unfinished:
                source, event = self._events.get()
                if source is None:
                    yield from self._read(event)
                else:
                    yield from self._heard(source, event)
                self._ask(reader)
                self._feed()
        finally:
            reader.stop()
            for worker in self._workers.values():
                worker.stop()
            self._transport.close()

    def _ask(self, reader: _Reader) -> None:
        """Have a block read where little is left to lend."""
        if not self._ended and not self._reading:
            if self._schedule.waiting < AHEAD * len(self._places):
                self._reading = True
                reader.ask()

    def _read(self, event: Any) -> Iterator[Partial]:
        self._reading = False
        if isinstance(event, _ReadingFailed):
            raise event.error
        if isinstance(event, _Ended):
            self._ended = True
        else:
            sizes = self._schedule.add(event)
            if sizes:
                yield Partial([], sizes, None, [], {}, np.empty(0, np.uint64), 0, [])

    def _heard(self, number: int, event: Message) -> Iterator[Partial]:
        if number not in self._workers:
            return  # its last words, after it was given up
        if isinstance(event, Ready):
            self._ready.add(number)
            self._was_ready.add(self._place_of[number])
            self._tell_failures()
            self._compare(event.versions)
            self._tell(WorkerStarted(self._name(number), event.device))
        elif isinstance(event, Logged):
            self._log(event)
        elif isinstance(event, Began):
            if self._schedule.began(number, *event):
                self._workers[number].leave()
        elif isinstance(event, Partial):
            if self._schedule.deliver(number, event):
                yield event
        elif isinstance(event, Failed) and (
            number in self._ready or isinstance(event.error, ArgumentError)
        ):
            raise event.error
        else:
            self._lost(number, event)

    def _lost(self, number: int, event: Failed | Lost) -> None:
        """Replace a worker that has died, or could not be started."""
        place, was_ready = self._place_of[number], number in self._ready
        self._workers.pop(number).stop()
        self._ready.discard(number)
        if isinstance(event, Failed):
            error, how = event.error, f"could not start: {event.error}"
        else:
            how = event.how
            error = WorkerError(
                f"worker {place + 1} of {len(self._places)}: the worker process {how}, before "
                "it had loaded the model: is there memory for the model in each of "
                f"{len(self._places)} workers? Use fewer of them, or try without them"
            )
        self._schedule.lost(number, how)
        if was_ready:
            self._tell(WorkerDied(self._name(number), how))
            if self._schedule.deaths_in_a_row >= DEATHS_IN_A_ROW:
                raise WorkerError(
                    f"{DEATHS_IN_A_ROW} worker processes ended one after the other, and no protein "
                    f"was analysed in between; the last one {how}. Give each worker more memory, "
                    "use fewer of them, or try without them what ends them"
                )
            logger.warning("a worker process %s; another takes its place", how)
            self._start(place)
        elif place in self._was_ready:
            # It did start once: perhaps the machine was short of memory for a moment.
            self._was_ready.discard(place)
            logger.warning("a worker process %s; it is started once more", how)
            self._start(place)
        elif self._workers:
            self._failures.append(str(error))
            if self._ready:
                self._tell_failures()
        else:
            raise error

    def _name(self, number: int) -> str:
        """What events call a worker: by its place, which one that takes it over has, too."""
        return f"worker {self._place_of[number] + 1}"

    def _tell_failures(self) -> None:
        """Warn of workers that could not be started; where none could, an exception says so."""
        for failure in self._failures:
            logger.warning("the analysis goes on with fewer workers: %s", failure)
        self._failures.clear()

    def _log(self, message: Logged) -> None:
        """Repeat a worker's message here; a warning that every worker has, once."""
        if message.level >= logging.WARNING:
            if message.template in self._told:
                return
            self._told.add(message.template)
        extra = errors.NOTED if message.noted else None
        logging.getLogger(message.logger).log(message.level, "%s", message.text, extra=extra)

    def _compare(self, theirs: dict[str, tuple[str, ...]]) -> None:
        """Warn where a worker's software is not ours: results may then depend on who ran what."""
        ours = versions.current()
        if theirs == ours or "versions" in self._told:
            return
        self._told.add("versions")
        others = [
            f"{name} {', '.join(theirs.get(name, ('none',)))} (here {', '.join(ours[name])})"
            for name in ours
            if theirs.get(name) != ours[name]
        ]
        logger.warning(
            "a worker has other software: %s; results can be repeated to the last bit only where "
            "it is the same everywhere",
            "; ".join(others),
        )

    def _start(self, place: int) -> None:
        number = self._started = self._started + 1
        self._place_of[number] = place
        self._workers[number] = self._transport.start(
            place, lambda message: self._events.put((number, message))
        )

    def _feed(self) -> None:
        for number in self._ready:
            tasks = list(self._schedule.lend(number))
            if tasks:
                self._workers[number].give(tasks)
