"""What every worker does, in whatever process: tasks in, sums over finished units out.

Two threads share the work, as in an analysis without workers: one prepares units, the other runs
the model. Sums are delivered every few seconds, when the rows that go with them take much memory,
and whenever there is nothing left to do.
"""

from __future__ import annotations

import logging
import pickle
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from provis_fast import versions
from provis_fast.distributed.pool import Began, Failed, Logged, Message, Ready
from provis_fast.distributed.scheduling import Task
from provis_fast.errors import ArgumentError, WorkerError
from provis_fast.packs import Prepared
from provis_fast.prefetch import prefetched
from provis_fast.units import Unit
from provis_fast.worker import Worker
from provis_fast.worker_spec import WorkerSpec

#: Seconds between deliveries: more would be lost with a worker, fewer would cost time.
DELIVER_SECONDS = 5.0
#: Bytes of rows of single proteins after which they are delivered at once.
DELIVER_BYTES = 64 << 20


class Inbox:
    """Tasks on their way to the loop; filled from another thread.

    Attributes
    ----------
    given : int
        Tasks put in so far.
    """

    def __init__(self) -> None:
        self.given = 0
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._leave = threading.Semaphore(0)

    def put(self, tasks: Sequence[Task]) -> None:
        """Add tasks."""
        self.given += len(tasks)
        for task in tasks:
            self._tasks.put(task)

    def leave(self) -> None:
        """Let what waits in `wait_for_leave` go on."""
        self._leave.release()

    def wait_for_leave(self) -> None:
        """Wait until `leave` is called once more."""
        self._leave.acquire()

    def close(self) -> None:
        """End the tasks, after those that are in."""
        self._tasks.put(None)

    def __iter__(self) -> Iterator[Task]:
        while (task := self._tasks.get()) is not None:
            yield task


class Start(NamedTuple):
    """The first thing that a worker is told.

    Attributes
    ----------
    spec : WorkerSpec
    level : int
        Of log messages that are of interest.
    """

    spec: WorkerSpec
    level: int


def packed(start: Start) -> bytes:
    """`start` as a message; ArgumentError where it cannot be sent."""
    try:
        return pickle.dumps(start, protocol=5)
    except Exception as error:  # whatever an object of the user's raises
        raise ArgumentError(
            f"properties: cannot be sent to other processes ({type(error).__name__}: {error}); "
            "define their functions and classes at the top of a module, or analyse in this process "
            "alone"
        ) from error


def unpacked(message: bytes) -> Start:
    """The inverse of `packed`."""
    try:
        return pickle.loads(message)
    except Exception as error:  # whatever importing an object of the user's raises
        raise ArgumentError(
            "properties: something of them cannot be found by a worker process "
            f"({type(error).__name__}: {error}); define functions and classes in a module that can "
            "be imported there, not in the script itself or in a notebook"
        ) from error


def serve(message: bytes, inbox: Inbox, post: Callable[[Message], None]) -> None:
    """The whole life of a worker that has a process of its own.

    Parameters
    ----------
    message : bytes
        From `packed`.
    inbox : Inbox
    post : callable
        Takes messages, what this package logs among them; called from several threads.
    """
    try:
        start = unpacked(message)
        _forward_logs(start.level, post)
    except Exception as error:
        post(Failed(_picklable(error)))
    else:
        work(start.spec, inbox, post)


def work(spec: WorkerSpec, inbox: Inbox, post: Callable[[Message], None]) -> None:
    """Start a worker and let it work until the inbox is closed.

    What is raised meanwhile is posted, as `Failed`.
    """
    try:
        with spec.start() as worker:
            post(Ready(versions.current(), str(worker.model.device)))
            _run_tasks(worker, inbox, post)
    except Exception as error:
        post(Failed(_picklable(error)))


def _run_tasks(worker: Worker, inbox: Inbox, post: Callable[[Message], None]) -> None:
    def prepare() -> Iterator[tuple[Task, Prepared | None]]:
        for task in inbox:
            # To prepare a task that is lent alone may end the process: not before there is leave.
            yield task, None if task.alone else worker.planner.prepare(task.unit)

    finished, delivered = 0, time.monotonic()
    with prefetched(prepare()) as items:
        for task, prepared in worker.planner.stages.waiting(items):
            if task.one_by_one:
                _run_one_by_one(worker, task, inbox, post)
            else:
                post(Began(task.unit.key, None))
                if prepared is None:
                    inbox.wait_for_leave()
                    prepared = worker.planner.prepare(task.unit)
                worker.run(prepared)
            finished += 1
            if (
                finished == inbox.given
                or worker.table_bytes > DELIVER_BYTES
                or time.monotonic() - delivered > DELIVER_SECONDS
            ):
                partial = worker.take()
                # A unit that was run protein by protein was told as many times.
                post(partial._replace(units=list(dict.fromkeys(partial.units))))
                delivered = time.monotonic()


def _run_one_by_one(
    worker: Worker, task: Task, inbox: Inbox, post: Callable[[Message], None]
) -> None:
    """Run each protein of a unit that ends workers by itself, and say so before."""
    key, killers = task.unit.key, dict(task.killers)
    worker.run(Prepared(key, (), task.remarks(), {}))
    for place, member in enumerate(task.unit.members):
        if place in killers:
            continue
        post(Began(key, place))
        inbox.wait_for_leave()
        worker.run(worker.planner.prepare(Unit(key, (), (member,))))


def _picklable(error: Exception) -> Exception:
    """The exception, with where it was raised, in a form that can be sent."""
    trace = traceback.format_exc().rstrip()
    try:
        error.add_note(f"In a worker process:\n{trace}")
        pickle.loads(pickle.dumps(error))
    except Exception:  # its class is the user's, or wants other arguments
        return WorkerError(f"a worker process raised what cannot be sent from there:\n{trace}")
    return error


class _Handler(logging.Handler):
    """Posts log messages."""

    def __init__(self, level: int, post: Callable[[Message], None]):
        super().__init__(level)
        self._post = post

    def emit(self, record: logging.LogRecord) -> None:
        self._post(
            Logged(
                record.name,
                record.levelno,
                str(record.msg),
                record.getMessage(),
                getattr(record, "noted", False),
            )
        )


def _forward_logs(level: int, post: Callable[[Message], None]) -> None:
    """Have what this package logs posted instead, from now on."""
    log = logging.getLogger("provis_fast")
    log.handlers = [_Handler(level, post)]
    log.setLevel(level)
    log.propagate = False
