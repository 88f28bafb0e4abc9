"""Opening files, compressed or not, whatever their names say."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from provis_fast.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
#: How much of a file tells its format.
_HEAD = 512
#: What a damaged or cut-off compressed file raises.
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def without_compression(name: str) -> str:
    """A lower-case file name without the suffix of its compression."""
    return re.sub(r"\.gz$", "", name)


def is_compressed(path: Path) -> bool:
    """Whether a file's name or its first bytes say that it is compressed."""
    if without_compression(path.name.lower()) != path.name.lower():
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(2) == GZIP_MAGIC
    except OSError:
        return False  # whoever reads it will say why it cannot be read


def open_text(path: Path) -> BinaryIO:
    """Open a file for reading, decompressing it where it is compressed."""
    if is_compressed(path):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file's content; none where it cannot be read."""
    try:
        with open_text(path) as stream:
            return stream.read(_HEAD)
    except (OSError, *DAMAGED):
        return b""


def read_bytes(path: Path) -> bytes:
    """The whole content of a file.

    Raises
    ------
    InputError
        It cannot be read, or is damaged.
    """
    try:
        with open_text(path) as stream:
            return stream.read()
    except DAMAGED as error:
        raise InputError(f"damaged or cut-off gzip file: {error}", path) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error
