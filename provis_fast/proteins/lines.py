"""Lines of a file none of which can fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

#: Of what is passed over, at a time.
_CHUNK = 1 << 16


def bounded_lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a stream with their numbers, counted from 1.

    Of a line longer than `limit` bytes, line feed included, only the first `limit` + 1 are given,
    and the rest is passed over: its length tells.
    """
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        yield number, line
        if len(line) > limit:
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
