"""Workers as processes of this machine: one for each GPU, or several that share the cores."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from provis_fast.child_process import ChildDiedError, ChildProcess
from provis_fast.distributed import worker_loop
from provis_fast.distributed.pool import Failed, Lost, Message
from provis_fast.distributed.scheduling import Task
from provis_fast.worker_spec import WorkerSpec

logger = logging.getLogger(__name__)

_TARGET = f"{__name__}:work"
_LEAVE = b""


class Processes:
    """A transport whose workers are child processes; see `provis_fast.distributed.pool`.

    Parameters
    ----------
    specs : sequence of WorkerSpec
        One for each worker: they differ in their device.
    """

    def __init__(self, specs: Sequence[WorkerSpec]):
        level = logging.getLogger("provis_fast").getEffectiveLevel()
        self._starts = [worker_loop.packed(worker_loop.Start(spec, level)) for spec in specs]
        self._threads = [spec.threads for spec in specs]

    def start(self, place: int, post: Callable[[Message], None]) -> _Process:
        """Start a process; see `Transport`."""
        return _Process(f"worker {place + 1}", self._starts[place], self._threads[place], post)

    def close(self) -> None:
        """Nothing is shared by the workers."""


class _Process:
    """One child; see `Worker`."""

    def __init__(
        self, name: str, start: bytes, threads: int | None, post: Callable[[Message], None]
    ):
        # Libraries that count cores for themselves are told not to.
        environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self._post = post
        self._child: ChildProcess | None = None
        try:
            self._child = ChildProcess(_TARGET, name, environment=environment)
        except ChildDiedError as error:
            post(Lost(_how(error)))
            return
        threading.Thread(
            target=self._listen, args=(start,), name=f"provis_fast-{name}", daemon=True
        ).start()

    def _listen(self, start: bytes) -> None:
        try:
            self._child.connection.send_bytes(start)
            while True:
                self._post(self._child.receive())
        except ChildDiedError as error:
            self._post(Lost(_how(error)))
        except Exception as error:  # a message that cannot be unpacked: memory ran short
            self._post(Failed(error))

    @property
    def pid(self) -> int | None:
        """Of the process; None where it could not be started."""
        return self._child and self._child.pid

    def give(self, tasks: Sequence[Task]) -> None:
        """See `Worker`."""
        self._send(pickle.dumps(tasks, protocol=5))

    def leave(self) -> None:
        """See `Worker`."""
        self._send(_LEAVE)

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # it is dead, as the listening thread tells
            self._child.connection.send_bytes(message)

    def stop(self) -> None:
        """See `Worker`."""
        if self._child is not None:
            self._child.close()


def _how(error: ChildDiedError) -> str:
    last = error.output.splitlines()[-1:] if error.output else []
    return error.how + "".join(f" ({line[:300]})" for line in last)


def work(connection: Connection) -> None:
    """The whole life of a worker process."""
    start = connection.recv_bytes()
    inbox = worker_loop.Inbox()
    sending = threading.Lock()

    def post(message: Message) -> None:
        with sending:
            connection.send(message)

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                message = connection.recv_bytes()
                if message == _LEAVE:
                    inbox.leave()
                else:
                    inbox.put(pickle.loads(message))
        inbox.close()

    threading.Thread(target=listen, name="provis_fast-tasks", daemon=True).start()
    worker_loop.serve(start, inbox, post)
