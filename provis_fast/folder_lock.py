"""One analysis at a time in a folder of checkpoints.

Two that write there at once would replace each other's checkpoint and cut off each other's rows.
The lock is the system's (`fcntl.flock`) on a file in the folder: it ends with the process, however
that ends. The file says who holds it, and is deleted when the lock is given back.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provis_fast.errors import ResultError

logger = logging.getLogger(__name__)

LOCK = ".lock"
"""The file that is locked."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of a folder, which is made, and deleted in the end if nothing is in it.

    Where the folder cannot be written, or its file system knows no locks, nobody is kept out.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ResultError
        Another process, or another analysis of this one, holds the lock.
    """
    path = folder / LOCK
    try:
        descriptor = _acquired(path)
    except BlockingIOError:
        raise ResultError(
            f"{folder}: another analysis is at work there ({_holder(path)}), and two at once would "
            "spoil each other's checkpoints. Wait until it has ended, end it, or give another "
            "folder"
        ) from None
    except OSError as error:  # what has to be written there will tell
        logger.info("%s: cannot be locked (%s)", path, error)
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        with suppress(OSError):  # something is in it
            folder.rmdir()


def _acquired(path: Path) -> int:
    """A descriptor that holds the lock; BlockingIOError where another one does."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, _FLAGS, 0o666)
        except FileNotFoundError:  # whoever held the lock has just deleted the folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                _sign(descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):  # EACCES: of some network file systems
                raise BlockingIOError(*error.args) from None
            raise
        os.close(descriptor)  # the file was deleted between opening and locking: try the new one


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    with suppress(OSError):  # a full disk; the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")[:200] or "it does not say which"
    except OSError:
        return "it does not say which"
