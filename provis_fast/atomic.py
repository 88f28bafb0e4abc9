"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from provis_fast.errors import ArgumentError, ResultError


def check_target(
    folder: str | PathLike[str], what: str, foreign: Callable[[Path], list[str]]
) -> Path:
    """Make sure that a folder can be written, before the work is done. Creates its parents.

    Parameters
    ----------
    folder : str or path
    what : str
        What is to be written, for messages.
    foreign : callable
        Called with a folder that stands there already: says what in it is not `what`, and so must
        not be replaced.

    Returns
    -------
    Path
        Where the folder will stand; symbolic links followed.

    Raises
    ------
    ArgumentError
        An empty name.
    ResultError
        Something else stands there, or the place cannot be written.
    """
    if not os.fspath(folder):
        raise ArgumentError("folder: expected the name of a folder, got ''")
    target = Path(os.path.realpath(folder))
    try:
        if target.is_dir():
            if others := foreign(target):
                raise ResultError(
                    f"{folder}: holds something else than an earlier {what} "
                    f"({', '.join(others[:3])}); it is not overwritten. Give another --out folder, "
                    "or move these files away"
                )
        elif target.exists():
            raise ResultError(f"{folder}: expected a folder, but a file stands there")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rmdir(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise cannot_write(folder, error) from error
    return target


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends.

    Raises
    ------
    ResultError
        It cannot be written. As after any other exception, `target` is as it was before.
    """
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        os.chmod(temporary, new_file_mode() | 0o111 & ~_umask())
        yield temporary
        for place, _, _ in os.walk(temporary):
            flush_folder(Path(place))
        _swap(temporary, target)
        flush_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(target, error) from error
        raise


@contextmanager
def flushed_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that is on the disk when the block ends."""
    with open(path, "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `target` when the block ends.

    Whoever writes it brings it to the disk. Parent folders are created.

    Raises
    ------
    ResultError
        It cannot be written. As after any other exception, what stood there before still does.
    """
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, new_file_mode())
        os.replace(temporary, target)
        flush_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(target, error) from error
        raise


def flush_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        os.rename(new, target)
        return
    # A folder that is not empty cannot be replaced in one step. Between the two moves the earlier
    # result stands beside its place; it is moved back if the second one fails.
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        os.rename(target, old)
        os.rename(new, target)
    except BaseException:
        with suppress(OSError):
            os.rename(old, target) if not target.exists() else os.rmdir(old)
        raise
    with suppress(OSError):
        shutil.rmtree(old)


def new_file_mode() -> int:
    """Permissions of a new file; temporary files are made for their owner alone."""
    return 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cannot_write(place: str | PathLike[str], error: OSError) -> ResultError:
    """What to tell of a file or folder that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResultError(
            f"{place}: the disk is full ({error.strerror}); nothing was left half-written there. "
            "Free space, or give another place"
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return ResultError(
            f"{place}: cannot be written: a file stands where one of its folders should be "
            f"({error.filename}); give another place"
        )
    return ResultError(
        f"{place}: cannot be written ({error.strerror or error}); give a place where you may "
        "create and write files"
    )
