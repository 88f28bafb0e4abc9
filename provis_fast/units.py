"""How an analysis is cut into units of work, and which of them are done.

Records of the input are taken in blocks of a fixed size; the proteins of a block are shared out
among packs by their lengths (`provis_fast.plan`). A *unit* is one pack, or the remarks about the
records of a block of which no pack is made. Units are numbered by the input alone, so that shards
and workers can share them, and a later session can tell what an earlier one has done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from provis_fast.errors import ArgumentError
from provis_fast.proteins import Protein, SetAside
from provis_fast.record_log import NOTED, Remark

__all__ = [
    "BLOCK_RECORDS",
    "NOTED",
    "WHOLE",
    "Block",
    "Done",
    "Remark",
    "Shard",
    "Unit",
    "UnitKey",
    "blocks",
]

#: Records per block. Small, so that the model starts soon after the first file is read: packs have
#: no padding, and gain nothing from proteins of equal length.
BLOCK_RECORDS = 128

#: (block, part): part 0 is what is said of records that are in no pack, part k its k-th pack.
UnitKey = tuple[int, int]


class Block(NamedTuple):
    """Records that are planned together.

    Attributes
    ----------
    index : int
        From 0.
    first : int
        Number of its first record in the input, from 0.
    records : tuple of Protein or SetAside
    """

    index: int
    first: int
    records: tuple[Protein | SetAside, ...]


class Unit(NamedTuple):
    """A piece of work that is done as a whole or not at all.

    Attributes
    ----------
    key : UnitKey
    remarks : tuple of Remark
        Known without looking at the proteins' data.
    members : tuple of (int, Protein)
        Numbers in the input, from 0, and proteins of a pack; none in part 0.
    """

    key: UnitKey
    remarks: tuple[Remark, ...]
    members: tuple[tuple[int, Protein], ...]


class Shard(NamedTuple):
    """One of several equal shares of the units of an input.

    Attributes
    ----------
    index : int
        From 1.
    of : int
        How many there are.
    """

    index: int = 1
    of: int = 1

    @classmethod
    def checked(cls, shard: Any) -> Shard:
        """From a pair (i, n); ArgumentError unless 1 <= i <= n."""
        try:
            index, of = shard
            valid = index == int(index) and of == int(of) and 1 <= index <= of
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ArgumentError(f"shard: expected (i, n) with 1 <= i <= n, got {shard!r}")
        return cls(int(index), int(of))

    def has(self, key: UnitKey) -> bool:
        """Whether a unit belongs to this shard."""
        return (key[0] + key[1]) % self.of == self.index - 1


WHOLE = Shard()
"""The one shard of an analysis that is not shared out."""


def blocks(records: Iterable[Protein | SetAside]) -> Iterator[Block]:
    """Records in blocks, by their order alone."""
    stream = iter(records)
    index = 0
    while chunk := tuple(islice(stream, BLOCK_RECORDS)):
        yield Block(index, index * BLOCK_RECORDS, chunk)
        index += 1


class Done:
    """The finished units of a shard.

    Kept as the number of blocks at the beginning that are finished, and for each later one its
    parts: a few numbers, however long the input.

    Parameters
    ----------
    shard : Shard
        Only its units count for a block to be finished.
    """

    def __init__(self, shard: Shard = WHOLE):
        self._shard = shard
        self._prefix = 0
        # Of blocks behind the prefix: finished parts as bits, and how many parts there are.
        self._parts: dict[int, int] = {}
        self._sizes: dict[int, int] = {}

    @property
    def prefix(self) -> int:
        """All blocks before this one are finished."""
        return self._prefix

    def add(self, key: UnitKey) -> None:
        """A unit is finished."""
        block, part = key
        if block >= self._prefix:
            self._parts[block] = self._parts.get(block, 0) | 1 << part
            self._advance()

    def end_block(self, block: int, n_parts: int) -> None:
        """Say how many parts, part 0 among them, a block has."""
        if block >= self._prefix:
            self._sizes[block] = n_parts
            self._advance()

    def whole(self, block: int) -> bool:
        """Whether every unit of a block that belongs to the shard is finished."""
        if block < self._prefix:
            return True
        if block not in self._sizes:
            return False
        parts = range(self._sizes[block])
        wanted = sum(1 << part for part in parts if self._shard.has((block, part)))
        return self._parts.get(block, 0) & wanted == wanted

    def _advance(self) -> None:
        while self.whole(self._prefix):
            block, self._prefix = self._prefix, self._prefix + 1
            self._parts.pop(block, None)
            self._sizes.pop(block, None)

    def __contains__(self, key: UnitKey) -> bool:
        block, part = key
        return block < self._prefix or bool(self._parts.get(block, 0) >> part & 1)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; JSON."""
        behind = sorted(self._parts.keys() | self._sizes.keys())
        return {
            "prefix": self._prefix,
            "blocks": [
                [block, self._sizes.get(block), f"{self._parts.get(block, 0):x}"]
                for block in behind
            ],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], shard: Shard = WHOLE) -> Done:
        """The same units; KeyError, TypeError or ValueError where `saved` is something else."""
        done = cls(shard)
        done._prefix = int(saved["prefix"])
        for block, size, parts in saved["blocks"]:
            done._parts[int(block)] = int(parts, 16)
            if size is not None:
                done._sizes[int(block)] = int(size)
        return done
