"""How many threads the model and the kernels may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from provis_fast.errors import ArgumentError

#: More than any machine has use for. Tens of thousands end the process inside the thread library,
#: where no exception can tell why.
MAX_THREADS = 1024


@contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Give torch, and with it the kernels, a number of threads for a while.

    Parameters
    ----------
    threads : int or None
        None leaves torch's own number.
    """
    import torch  # here, because the command line reads MAX_THREADS without waiting for torch

    usual = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def check_threads(threads: int | None) -> None:
    """ArgumentError unless `threads` is None or an integer from 1 to `MAX_THREADS`."""
    if threads is None:
        return
    whole = isinstance(threads, int) and not isinstance(threads, bool)
    if not whole or not 1 <= threads <= MAX_THREADS:
        raise ArgumentError(
            f"threads: expected None or an integer from 1 to {MAX_THREADS}, got {threads!r}"
        )
