"""Which shards of an analysis a result holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from provis_fast.errors import ResultError


class ShardParts(NamedTuple):
    """Some of the shards that an input was shared out among.

    Attributes
    ----------
    of : int
        How many there are.
    parts : tuple of int
        Those that are held, from 1, ascending.
    interrupted : tuple of int
        Those that are held as far as their analysis came.
    """

    of: int
    parts: tuple[int, ...]
    interrupted: tuple[int, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """Those that are not held, or not as a whole."""
        return tuple(sorted(set(range(1, self.of + 1)) - set(self.parts)))

    def united(self, other: ShardParts) -> ShardParts:
        """What two results hold together.

        Raises
        ------
        ResultError
            Another number of shards, or one that both hold.
        """
        if self.of != other.of:
            raise ResultError(
                f"one result holds shards of {self.of}, another shards of {other.of} of the same "
                "input: proteins would count twice. Merge shards of one number"
            )
        mine, theirs = {*self.parts, *self.interrupted}, {*other.parts, *other.interrupted}
        if both := sorted(mine & theirs):
            raise ResultError(
                f"two results hold shard {', '.join(map(str, both))} of {self.of} of the same "
                "input: its proteins would count twice. Give each shard once"
            )
        return ShardParts(
            self.of,
            tuple(sorted(self.parts + other.parts)),
            tuple(sorted(self.interrupted + other.interrupted)),
        )

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        parts, interrupted = list(self.parts), list(self.interrupted)
        return {"of": self.of, "parts": parts, "interrupted": interrupted}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ShardParts:
        """From a manifest; KeyError or TypeError where it is something else."""
        return cls(saved["of"], tuple(saved["parts"]), tuple(saved["interrupted"]))
