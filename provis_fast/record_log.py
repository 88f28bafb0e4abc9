"""Remarks about single records, kept in little memory and given in the input's order.

Of millions of records many may be too long, or duplicates. Their remarks are kept in chunks of
compressed text: 15 bytes each for proteins of UniRef50 that are too long (37 MB for 2.5 million),
where a dict of six entries takes more than 500.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

NOTED = "noted"
"""Status of a record that is analysed, with a remark."""
STATUSES = ("skipped", "failed", NOTED)

#: Remarks compressed together; so many of the latest ones are kept as they are.
_CHUNK = 2048


class Remark(NamedTuple):
    """Something about one record that belongs in the result: set aside and why, or a note.

    Attributes
    ----------
    number : int
        The record's in the input, from 0.
    id : str
    status : {"skipped", "failed", "noted"}
    reason : str
    source : str
        Name of its file.
    line : int or None
        Of the file, from 1.
    """

    number: int
    id: str
    status: str
    reason: str
    source: str = ""
    line: int | None = None

    @classmethod
    def of(cls, number: int, record: Any) -> Remark:
        """Of a `SetAside`, or what has its attributes."""
        source, line = getattr(record, "source", ""), getattr(record, "line", None)
        return cls(number, record.id, record.status, record.reason, source or "", line)

    def as_dict(self) -> dict[str, Any]:
        """As `HeadStatistics.set_aside` gives it; the number is called record."""
        named = self._asdict()
        return {"record": named.pop("number"), **named}


class _Chunk(NamedTuple):
    """Some remarks, sorted by number; `offset` is to be added to their numbers."""

    first: int
    last: int
    offset: int
    content: bytes

    def remarks(self) -> Iterator[Remark]:
        for fields in json.loads(zlib.decompress(self.content)):
            remark = Remark(*fields)
            yield remark._replace(number=remark.number + self.offset) if self.offset else remark


def _packed(remarks: Sequence[Remark]) -> _Chunk:
    ordered = sorted(remarks, key=itemgetter(0))  # stable: several of one record keep their order
    text = json.dumps(ordered, separators=(",", ":"))  # ASCII, also for names that are no text
    content = zlib.compress(text.encode(), 1)
    return _Chunk(ordered[0].number, ordered[-1].number, 0, content)


class RecordLog:
    """Remarks about records, whatever the order in which they come.

    Iteration gives `Remark` objects in the order of their numbers; those of one record in the order
    in which they came.
    """

    def __init__(self, remarks: Iterable[Remark] = ()):
        self._chunks: list[_Chunk] = []
        self._latest: list[Remark] = []
        self._counts = dict.fromkeys(STATUSES, 0)
        self._end = 0
        for remark in remarks:
            self.add(remark)

    def add(self, remark: Remark) -> None:
        """Keep a remark."""
        self._counts[remark.status] += 1
        self._end = max(self._end, remark.number + 1)
        self._latest.append(remark)
        if len(self._latest) == _CHUNK:
            self._chunks.append(_packed(self._latest))
            self._latest = []

    def extend(self, other: RecordLog, offset: int = 0) -> None:
        """Keep the remarks of another log, their records numbered `offset` higher."""
        self._chunks = self._all_chunks() + [
            chunk._replace(
                first=chunk.first + offset, last=chunk.last + offset, offset=chunk.offset + offset
            )
            for chunk in other._all_chunks()
        ]
        self._latest = []
        for status, n in other._counts.items():
            self._counts[status] += n
        self._end = max(self._end, other._end + offset)

    def count(self, status: str) -> int:
        """Remarks of a status."""
        return self._counts[status]

    @property
    def end(self) -> int:
        """One more than the highest number."""
        return self._end

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __iter__(self) -> Iterator[Remark]:
        # A chunk is opened when the records that it begins with are due: they overlap little.
        chunks = self._all_chunks()
        waiting = sorted(range(len(chunks)), key=lambda k: (chunks[k].first, k), reverse=True)
        heap: list[tuple[int, int, Remark, Iterator[Remark]]] = []
        while waiting or heap:
            while waiting and (not heap or chunks[waiting[-1]].first <= heap[0][0]):
                order = waiting.pop()
                remarks = chunks[order].remarks()
                remark = next(remarks)
                heapq.heappush(heap, (remark.number, order, remark, remarks))
            _, order, remark, remarks = heap[0]
            yield remark
            if (following := next(remarks, None)) is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following.number, order, following, remarks))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordLog):
            return NotImplemented
        return self._counts == other._counts and all(
            a == b for a, b in zip(self, other, strict=True)
        )

    __hash__ = None

    def copy(self) -> RecordLog:
        """An independent copy."""
        copied = RecordLog()
        copied._chunks, copied._latest = list(self._chunks), list(self._latest)
        copied._counts, copied._end = dict(self._counts), self._end
        return copied

    def nbytes(self) -> int:
        """About how much memory the compressed remarks take."""
        return sum(len(chunk.content) for chunk in self._chunks)

    def to_tensor(self) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Bytes and a description (JSON), of which `from_tensor` makes the log again."""
        chunks = self._all_chunks()
        content = np.frombuffer(b"".join(chunk.content for chunk in chunks), dtype=np.uint8)
        described = [[c.first, c.last, c.offset, len(c.content)] for c in chunks]
        return content, {"chunks": described, "counts": self._counts, "end": self._end}

    @classmethod
    def from_tensor(cls, content: NDArray[np.uint8], description: dict[str, Any]) -> RecordLog:
        """What `to_tensor` described; KeyError or ValueError where it is something else."""
        log, at, data = cls(), 0, content.tobytes()
        for first, last, offset, size in description["chunks"]:
            log._chunks.append(_Chunk(first, last, offset, data[at : at + size]))
            at += size
        if at != len(data):
            raise ValueError(f"expected {at} bytes of remarks, got {len(data)}")
        log._counts = {status: int(description["counts"][status]) for status in STATUSES}
        log._end = int(description["end"])
        return log

    def _all_chunks(self) -> list[_Chunk]:
        return [*self._chunks, _packed(self._latest)] if self._latest else list(self._chunks)


class View(Sequence[T]):
    """A sequence that is made anew whenever it is gone through; nothing of it is kept.

    Parameters
    ----------
    length : int
    make : callable
        Gives an iterator of all items.
    """

    def __init__(self, length: int, make: Callable[[], Iterator[T]]):
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return self._make()

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        chosen = range(self._length)[index]  # IndexError as of a list
        if isinstance(chosen, int):
            return next(islice(self, chosen, None))
        if chosen.step == 1:
            return list(islice(self, chosen.start, chosen.stop))
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:5]))
        return f"[{shown}{', ...' if len(self) > 5 else ''}]"
