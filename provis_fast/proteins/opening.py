"""Opening files, compressed or not, whatever their names say.

Compressed are gzip files (.gz; several members one after the other too) and Zstandard files (.zst;
several frames too). They are decompressed as they are read, a few kilobytes at a time, so that a
file that was made to unpack to terabytes (a decompression bomb) is noticed early.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from provis_fast.errors import InputError
from provis_fast.proteins import limits

GZIP_MAGIC = b"\x1f\x8b"
#: How much of a file tells its format.
_HEAD = 512
#: What a damaged or cut-off compressed file raises while it is read: `DamagedError` alone, by the
#: streams of this module.
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
#: Of a file that is read whole, at a time.
_CHUNK = 1 << 20


class DamagedError(EOFError):
    """A compressed file is damaged, cut off, or unpacks to far too much."""


def _gzip() -> Any:
    return zlib.decompressobj(wbits=31)


def _zstd() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise InputError('reading .zst files needs: pip install "zstandard>=0.22"') from error
    return zstandard.ZstdDecompressor().decompressobj()


#: Of each kind of compression: suffix, first bytes, what decompresses one member (or frame), and
#: the bytes given to it at a time: 16 KiB of gzip give up to 16 MiB, 2 KiB of Zstandard up to 64.
_KINDS: dict[str, tuple[str, bytes, Callable[[], Any], int]] = {
    "gzip": (".gz", GZIP_MAGIC, _gzip, 1 << 14),
    "zstd": (".zst", b"\x28\xb5\x2f\xfd", _zstd, 1 << 11),
}
COMPRESSED_SUFFIXES = tuple(suffix for suffix, *_ in _KINDS.values())


def without_compression(name: str) -> str:
    """A lower-case file name without the suffix of its compression."""
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def compression_of(path: Path) -> str | None:
    """What a file is compressed with, by its first bytes or else by its name.

    Returns
    -------
    {"gzip", "zstd"} or None
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError:
        head = b""  # whoever reads it will say why it cannot be read
    name = path.name.lower()
    for kind, (_, magic, _, _) in _KINDS.items():
        if head.startswith(magic):
            return kind
    return next((kind for kind, (suffix, *_) in _KINDS.items() if name.endswith(suffix)), None)


def is_compressed(path: Path) -> bool:
    """Whether a file's name or its first bytes say that it is compressed."""
    return compression_of(path) is not None


def open_text(path: Path) -> BinaryIO:
    """Open a file for reading, decompressing it where it is compressed.

    Returns
    -------
    binary stream
        Buffered. Reading raises OSError, and `DamagedError` where a compressed file is damaged, cut
        off, or a decompression bomb; all that lies before the damage is read first.
    """
    kind = compression_of(path)
    if kind is None:
        return path.open("rb")
    return io.BufferedReader(_Decompressed(path, kind), 1 << 16)  # type: ignore[return-value]


class _Decompressed(io.RawIOBase):
    """The content of a compressed file."""

    def __init__(self, path: Path, kind: str):
        self._kind = kind
        _, _, self._start, self._step = _KINDS[kind]
        self._member: Any = None
        self._file = path.open("rb", buffering=1 << 16)
        self._size = path.stat().st_size
        self._raw = b""  # read and not yet decompressed
        self._content = memoryview(b"")  # decompressed and not yet asked for
        self._total = 0
        self._error: DamagedError | None = None

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the content goes; damage is told by the call after it."""
        room, filled = memoryview(buffer).cast("B"), 0
        while filled < len(room):
            if not len(self._content):
                if self._error is None:
                    try:
                        self._content = memoryview(self._more())
                    except DamagedError as error:
                        self._error = error
                if not len(self._content):
                    break
            n = min(len(room) - filled, len(self._content))
            room[filled : filled + n] = self._content[:n]
            self._content = self._content[n:]
            filled += n
        if not filled and self._error is not None:
            raise self._error
        return filled

    def _more(self) -> bytes:
        """The next piece of content; none at the end."""
        while True:
            if not self._raw:
                self._raw = self._file.read(self._step)
                if not self._raw:
                    if self._member is None and self._file.tell():
                        return b""
                    raise DamagedError("it ends in the middle of its compressed data")
            if self._member is None:
                self._raw = self._raw.lstrip(b"\0")  # tapes and some tools pad with zeros
                if not self._raw:
                    continue
                self._member = self._start()
            before = self._member.copy() if self._kind == "gzip" else None
            try:
                content = self._member.decompress(self._raw)
            except Exception as error:  # zlib.error, or ZstdError of a package loaded only here
                self._error = DamagedError(str(error))
                return b"" if before is None else _as_far_as_it_goes(before, self._raw)
            self._raw = self._member.unused_data
            if self._member.eof:
                self._member = None
            self._total += len(content)
            most = max(limits.MAX_CONTENT_BYTES, limits.MAX_CONTENT_RATIO * self._size)
            if self._total > most:
                self._error = DamagedError(
                    f"its {self._size:,} bytes unpack to more than {most:,}, as if made to exhaust "
                    "memory (a decompression bomb); if it is good, decompress it first"
                )
                return content[: len(content) - (self._total - most)]
            if content:
                return content


def _as_far_as_it_goes(member: Any, raw: bytes) -> bytes:
    """What can be decompressed of bytes that are damaged somewhere."""
    parts = []
    try:
        for at in range(len(raw)):
            parts.append(member.decompress(raw[at : at + 1]))
    except zlib.error:
        pass
    return b"".join(parts)


def damaged_file(path: Path, error: Exception, line: int | None = None) -> InputError:
    """What to raise where a compressed file is of no use at all."""
    return InputError(f"damaged {compression_of(path)} file: {error}", path, line)


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file's content; none where it cannot be read."""
    try:
        with open_text(path) as stream:
            return stream.read(_HEAD)
    except (OSError, InputError, *DAMAGED):
        return b""


def read_bytes(path: Path) -> bytes:
    """The whole content of a file.

    Raises
    ------
    InputError
        It cannot be read, is damaged, or holds more than `limits.MAX_FILE_BYTES`.
    """
    parts, size = [], 0
    try:
        with open_text(path) as stream:
            while part := stream.read(_CHUNK):
                size += len(part)
                if size > limits.MAX_FILE_BYTES:
                    raise InputError(
                        f"has more than {limits.MAX_FILE_BYTES:,} bytes of content, and a file of "
                        "its format is read whole; split it",
                        path,
                    )
                parts.append(part)
    except DAMAGED as error:
        raise InputError(
            f"damaged or cut-off {compression_of(path)} file: {error}", path
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error
    return b"".join(parts)
