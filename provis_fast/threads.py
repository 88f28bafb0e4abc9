"""How many threads the model and the kernels may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
