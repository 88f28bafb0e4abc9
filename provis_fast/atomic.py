"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from provis_fast.errors import ResultError


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
        _swap(temporary, target)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(target, error) from error
        raise


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
