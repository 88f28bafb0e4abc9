"""Keeping Ctrl-C and SIGTERM out of steps that must be done whole.

Only the main thread ever gets them; in others the context managers do nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provis_fast.statistics import HeadStatistics

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an analysis.

    Attributes
    ----------
    partial : HeadStatistics
        Of the proteins analysed until then; `complete` is False.
    """

    def __init__(self, partial: HeadStatistics):
        super().__init__("interrupted")
        self.partial = partial


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until the block is over, also where it ends by an exception."""
    came: list[int] = []
    try:
        with _handled_by(lambda number, frame: came.append(number)):
            yield
    finally:
        if came:  # sent again, because there may be no handler to call: SIG_DFL ends the process
            signal.raise_signal(came[0])


@contextmanager
def ignoring_interruptions() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM have no effect: what is under way is the last thing to be done."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A handler that was not installed from Python (None) could not be put back.
    usual = {
        number: earlier for number in _SIGNALS if (earlier := signal.getsignal(number)) is not None
    }
    for number in usual:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in usual.items():
            signal.signal(number, earlier)
