"""Run an iterator ahead of its consumer, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

_END = object()


@contextmanager
def prefetched(
    items: Iterable[T], depth: int = 2, cancel: Callable[[], None] | None = None
) -> Iterator[Iterator[T]]:
    """Iterate over `items` in a thread that stays at most `depth` items ahead.

    An exception that `items` raises is raised where the next item would have come. Leaving the
    context stops the thread, however far it has come.

    Parameters
    ----------
    items : iterable
        Touched by the thread alone.
    depth : int
        Items that may wait.
    cancel : callable, optional
        Called to wake the thread where it may be waiting for something else when it is to stop.

    Yields
    ------
    iterator
        The items, in order.
    """
    waiting: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(message: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(message, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
        except BaseException as error:
            put((None, error))
        else:
            put((_END, None))

    def consume() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item

    thread = threading.Thread(target=work, name="provis_fast-prefetch", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        if cancel is not None and thread.is_alive():
            cancel()
        while thread.is_alive():
            # Make room, in case the thread waits for it.
            with suppress(queue.Empty):
                waiting.get_nowait()
            thread.join(timeout=0.05)
