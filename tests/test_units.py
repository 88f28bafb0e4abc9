"""Units of work: blocks, what is done, shards."""

from __future__ import annotations

import json
import random

import pytest

from provis_fast.errors import ArgumentError
from provis_fast.units import Done, Shard, blocks


def _input(seed):
    """Parts of each of 40 blocks."""
    rng = random.Random(seed)
    return [rng.randrange(1, 9) for _ in range(40)]


@pytest.mark.parametrize("of", [1, 2, 7, 50])
def test_shards_share_every_unit_out_once(of):
    keys = [(block, part) for block, n in enumerate(_input(0)) for part in range(n)]
    owners = [[i for i in range(1, of + 1) if Shard(i, of).has(key)] for key in keys]
    assert all(len(found) == 1 for found in owners)
    if of < 8:
        assert {found[0] for found in owners} == set(range(1, of + 1))


@pytest.mark.parametrize("shard", [Shard(), Shard(2, 3), Shard(9, 9)])
def test_done_knows_what_was_done_in_any_order(shard):
    sizes = _input(1)
    keys = [(b, part) for b, n in enumerate(sizes) for part in range(n) if shard.has((b, part))]
    random.Random(2).shuffle(keys)
    done, finished = Done(shard), set()
    for number, key in enumerate(keys):
        assert key not in done
        if number % 3:
            done.end_block(key[0], sizes[key[0]])
        done.add(key)
        finished.add(key)
        if number % 10 == 0:  # as a checkpoint keeps it
            done = Done.from_json(json.loads(json.dumps(done.to_json())), shard)
            assert all((other in done) == (other in finished) for other in keys)
    for block, n in enumerate(sizes):
        done.end_block(block, n)
    assert done.prefix == len(sizes) and done.to_json() == {"prefix": len(sizes), "blocks": []}


def test_blocks_of_another_shard_alone_are_whole():
    done = Done(Shard(3, 3))
    done.end_block(0, 1)  # its one part belongs to the first
    assert done.prefix == 1
    done.end_block(1, 1)
    assert done.prefix == 2
    done.end_block(2, 1)
    assert done.prefix == 2 and (2, 0) not in done
    done.add((2, 0))
    assert done.prefix == 3


def test_blocks_of_nothing():
    assert list(blocks([])) == []


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0), (1.5, 2), 2, "1/2", (1, 2, 3), None])
def test_bad_shards(shard):
    with pytest.raises(ArgumentError, match="shard: expected"):
        Shard.checked(shard)
