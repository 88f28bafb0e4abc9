"""Workers as actors of Ray: on other machines of a cluster, or on this one.

What an actor does is what any worker does (`provis_fast.distributed.worker_loop`). Ray starts it
where there is room, and carries messages. An actor that dies is not restarted by Ray but replaced
by us, because what it held must be lent anew. Messages are bytes of our own: of arrays that Ray
unpacks itself, some could not be written to.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import queue
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from provis_fast.distributed import worker_loop
from provis_fast.distributed.pool import Failed, Lost, Message
from provis_fast.distributed.scheduling import Task
from provis_fast.errors import ArgumentError, ModelError, WorkerError
from provis_fast.worker_spec import WorkerSpec

logger = logging.getLogger(__name__)

#: Of a Ray that we start: messages are small, and the least that Ray takes is 75 MiB.
_OBJECT_STORE_BYTES = 100 << 20
_PATIENCE = 60.0  # seconds that an actor may wait for a place before we tell
_LAST = b""


class RayActors:
    """A transport whose workers are actors of Ray; see `provis_fast.distributed.pool`.

    Uses the Ray that this process is connected to, else the cluster that RAY_ADDRESS names, else
    starts one on this machine, which ends with `close`.

    Parameters
    ----------
    spec : WorkerSpec
    workers : int
        Actors that there will be at once.

    Raises
    ------
    ArgumentError
        Ray is not installed.
    WorkerError
        It cannot be started, or the cluster cannot be reached.
    """

    def __init__(self, spec: WorkerSpec, workers: int):
        ray = self._ray = _import_ray()
        level = logging.getLogger("provis_fast").getEffectiveLevel()
        on_gpu = spec.device.startswith("cuda")
        cpus = spec.threads or 1
        message = worker_loop.packed(worker_loop.Start(spec, level))
        self._ours = not ray.is_initialized()
        if self._ours:
            with _quietly():
                _connect(ray, workers * cpus)
        try:
            self._start = ray.put(message)
            self._actor = ray.remote(
                num_cpus=cpus, num_gpus=int(on_gpu), max_restarts=0, max_concurrency=4
            )(Actor)
        except BaseException:
            self.close()
            raise
        self._needs = f"{cpus} core(s)" + (" and a GPU" if on_gpu else "")

    def start(self, place: int, post: Callable[[Message], None]) -> _Worker:
        """Start an actor; see `Transport`."""
        return _Worker(self._ray, self._actor.remote(self._start), place, self._needs, post)

    def close(self) -> None:
        """End Ray, if it was started here."""
        if self._ours:
            self._ours = False
            with _quietly():
                self._ray.shutdown()


def _import_ray() -> Any:
    # A pipeline that must not tell anyone of itself: no statistics of use, if nobody asked for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ArgumentError(
            'engine: "ray" needs the package ray, which is not installed: '
            'pip install "provis_fast[ray]"'
        ) from error
    return ray


def _connect(ray: Any, cpus: int) -> None:
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    if not address:
        # Only this machine is meant, which may have no network.
        options |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": max(cpus, os.cpu_count() or 1),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(**options)
    except Exception as error:  # of many kinds
        where = f"the cluster at RAY_ADDRESS={address}" if address else "Ray on this machine"
        raise WorkerError(f"cannot reach or start {where}: {error}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Ray from writing to the terminal, and the process's signals from being changed."""
    log = logging.getLogger("ray")
    level = log.level
    log.setLevel(logging.ERROR)
    usual = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        log.setLevel(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in usual.items():
                if handler is not None:
                    signal.signal(number, handler)


class Actor:
    """A worker in a process of Ray.

    Parameters
    ----------
    start : bytes
        See `worker_loop.serve`.
    """

    def __init__(self, start: bytes):
        self._inbox = worker_loop.Inbox()
        self._messages: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._serve, args=(start,), daemon=True).start()

    def _serve(self, start: bytes) -> None:
        worker_loop.serve(start, self._inbox, self._post)
        self._messages.put(_LAST)

    def _post(self, message: Message) -> None:
        if isinstance(message, Failed) and isinstance(message.error, ModelError):
            message = Failed(
                ModelError(
                    f"a worker of Ray on {platform.node()}: {message.error} (every machine of the "
                    "cluster needs the model in the same folder or under the same name: put it on "
                    "a file system that all of them share)"
                )
            )
        self._messages.put(pickle.dumps(message, protocol=5))

    def pid(self) -> int:
        """Of the process."""
        return os.getpid()

    def give(self, tasks: bytes) -> None:
        """Take tasks."""
        self._inbox.put(pickle.loads(tasks))

    def leave(self) -> None:
        """See `Worker`."""
        self._inbox.leave()

    def messages(self) -> Iterator[bytes]:
        """Messages, one by one as they come; called once."""
        while message := self._messages.get():
            yield message


class _Worker:
    """An actor as we see it; see `Worker`."""

    def __init__(
        self, ray: Any, actor: Any, place: int, needs: str, post: Callable[[Message], None]
    ):
        self._ray, self._actor, self._post = ray, actor, post
        self._name, self._needs = f"worker {place + 1}", needs
        self._stopped = False
        messages = actor.messages.options(num_returns="streaming").remote()
        threading.Thread(
            target=self._listen, args=(messages,), name=f"provis_fast-{self._name}", daemon=True
        ).start()

    def _listen(self, messages: Any) -> None:
        ray = self._ray
        try:
            while not ray.wait([messages], timeout=_PATIENCE)[0] and not self._stopped:
                logger.warning(
                    "%s waits for a place in the cluster: it needs %s", self._name, self._needs
                )
            for reference in messages:
                self._post(pickle.loads(ray.get(reference)))
            how = "has ended"
        except ray.exceptions.RayActorError as error:
            how = _how(str(error))
        except ray.exceptions.RayTaskError as error:
            self._post(Failed(WorkerError(f"{self._name}, an actor of Ray: {error}")))
            return
        except Exception as error:  # the connection is gone, and with it the actor
            how = f"cannot be reached any more ({type(error).__name__}: {error})"
        self._post(Lost(how))

    @property
    def pid(self) -> int:
        """Of the actor's process, on its machine."""
        return self._ray.get(self._actor.pid.remote())

    def give(self, tasks: Sequence[Task]) -> None:
        """See `Worker`."""
        self._actor.give.remote(pickle.dumps(tasks, protocol=5))

    def leave(self) -> None:
        """See `Worker`."""
        self._actor.leave.remote()

    def stop(self) -> None:
        """See `Worker`."""
        self._stopped = True
        with suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._actor, no_restart=True)


def _how(message: str) -> str:
    """What Ray says of a death, in a line that follows "the worker process"."""
    if "error raised in its creation task" in message:  # a traceback: its end tells
        last = [line.strip() for line in message.splitlines() if line.strip()][-1]
        return (
            f"could not be started ({last[:300]}): it must find provis_fast where this process "
            "does; the sources of a clone, in the current folder, hide an installed package"
        )
    detail = re.search(r"Worker exit detail: (.*?)(?: Some common causes|$)", message, re.DOTALL)
    text = " ".join((detail[1] if detail else message).split())[:300].rstrip(". ")
    return f"died ({text})"
