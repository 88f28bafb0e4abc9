"""Units lent to workers that die, deliver late or twice: each is absorbed exactly once."""

from __future__ import annotations

import random
from collections import Counter

import distributed_cases
import pytest
from distributed_cases import delivery

from provis_fast.distributed.scheduling import AHEAD, Schedule
from provis_fast.units import Done, Shard


def schedule(n_blocks=2, done=None, shard=None) -> Schedule:
    options = {} if shard is None else {"shard": shard}
    made = Schedule(distributed_cases.plan, done or Done(), **options)
    for block in distributed_cases.blocks(n_blocks):
        made.add(block)
    return made


def keys(tasks):
    return [task.unit.key for task in tasks]


def test_units_are_lent_in_order_and_not_twice():
    work = schedule(1)
    assert keys(work.lend("a")) == [(0, 0), (0, 1), (0, 2)]
    assert keys(work.lend("b")) == [(0, 3), (0, 4)]
    assert keys(work.lend("a")) == []
    assert work.unfinished == 5


def test_a_worker_gets_more_as_it_begins():
    work = schedule(2)
    list(work.lend("a"))
    assert work.began("a", (0, 0)) is False
    assert keys(work.lend("a")) == [(0, 3)]


def test_what_is_done_or_belongs_to_others_is_not_lent():
    done = Done()
    done.add((0, 2))
    work = schedule(1, done, Shard(1, 2))
    assert keys(work.lend("a")) == [(0, 0), (0, 4)]


def test_blocks_that_are_done_as_a_whole_are_not_planned():
    done = Done()
    for unit in distributed_cases.plan(distributed_cases.blocks(1)[0]):
        done.add(unit.key)
    done.end_block(0, 5)
    work = Schedule(lambda block: pytest.fail("planned"), done)
    assert work.add(distributed_cases.blocks(1)[0]) == {}


def test_a_delivery_is_accepted_once():
    work = schedule(1)
    list(work.lend("a"))
    assert work.deliver("a", delivery([(0, 0), (0, 1)]))
    assert not work.deliver("a", delivery([(0, 0), (0, 1)]))
    assert not work.deliver("a", delivery([(0, 2), (0, 2)]))
    assert work.unfinished == 3


def test_a_delivery_after_death_is_refused():
    work = schedule(1)
    list(work.lend("a"))
    work.lost("a", "died")
    assert not work.deliver("a", delivery([(0, 0)]))
    assert work.unfinished == work.waiting == 5


def test_a_delivery_of_own_and_others_units_is_refused_as_a_whole():
    work = schedule(1)
    list(work.lend("a"))
    list(work.lend("b"))
    assert not work.deliver("a", delivery([(0, 0), (0, 3)]))
    assert (0, 0) in keys(work.lend("c"))
    assert work.deliver("b", delivery([(0, 3)]))


def test_what_was_run_but_not_delivered_is_no_suspect():
    work = schedule(3)
    list(work.lend("a"))
    for key in [(0, 0), (0, 1), (0, 2)]:
        work.began("a", key)
        list(work.lend("a"))
    work.lost("a", "died")
    alone = keys(work.lend("b"))
    assert alone == [(0, 2)], "the unit that was running comes first, with nothing beside"
    assert keys(work.lend("b")) == []
    assert keys(work.lend("c")) == [(0, 3)], "then what may have been in preparation"


def test_a_unit_that_ends_two_workers_is_run_one_by_one_and_its_protein_set_aside():
    work = schedule(1)
    (first, *_) = work.lend("a")
    assert not first.alone
    work.began("a", (0, 0))
    work.deliver("a", delivery([(0, 0)]))
    work.began("a", (0, 1))
    work.lost("a", "was killed by SIGSEGV")

    (task,) = work.lend("b")
    assert task.unit.key == (0, 1) and task.alone and not task.one_by_one
    assert work.began("b", (0, 1)) is True
    work.lost("b", "was killed by SIGSEGV")

    (task,) = work.lend("c")
    assert task.unit.key == (0, 1) and task.one_by_one and not task.killers
    assert work.began("c", (0, 1), 0) and work.began("c", (0, 1), 1)
    work.lost("c", "was killed by SIGSEGV")

    (task,) = work.lend("d")
    assert task.unit.key == (0, 1)
    (remark,) = task.remarks()
    assert (remark.number, remark.id, remark.status) == (1, "b0.1", "failed")
    assert "was killed by SIGSEGV" in remark.reason
    assert work.deliver("d", delivery([(0, 1)]))
    assert work.deaths_in_a_row == 0


class Fate:
    """Workers in a simulation: they run what they hold in random order of events, and die."""

    def __init__(self, seed: int, killers: set[str], accidents: float):
        self.random = random.Random(seed)
        self.killers, self.accidents = killers, accidents
        self.absorbed: Counter = Counter()
        self.aside: dict[str, str] = {}
        self.most = 0

    def play(self, work: Schedule, blocks) -> None:
        blocks = iter(blocks)
        self.work, self.next = work, 0
        workers: dict[int, dict] = {}
        ended = False
        while not ended or work.unfinished:
            while len(workers) < 3:
                self.next += 1
                workers[self.next] = {"queue": [], "ran": [], "late": []}
            if not ended and work.waiting < AHEAD * len(workers):
                block = next(blocks, None)
                ended = block is None
                if not ended:
                    work.add(block)
            name = self.random.choice(list(workers))
            self.most = max(self.most, work.unfinished)
            if not self.step(name, workers[name]):
                state = workers.pop(name)
                work.lost(name, "was killed by SIGKILL")
                if state["ran"] and self.random.random() < 0.5:  # sent before, arriving after
                    assert not work.deliver(name, delivery([t.unit.key for t in state["ran"]]))

    def step(self, name: int, worker: dict) -> bool:
        """Something that a worker does; False where it dies."""
        worker["queue"] += self.work.lend(name)
        chance = self.random.random()
        if chance < self.accidents:
            return False
        if worker["queue"] and chance < 0.8:
            task = worker["queue"].pop(0)
            if not self.run(name, task):
                return False
            worker["ran"].append(task)
        elif worker["ran"]:
            partial = delivery([task.unit.key for task in worker["ran"]])
            if self.work.deliver(name, partial):
                for task in worker["ran"]:
                    killers = dict(task.killers)
                    self.absorbed[task.unit.key] += 1
                    for place, (_, protein) in enumerate(task.unit.members):
                        self.absorbed[protein.id] += place not in killers
                        if place in killers:
                            self.aside[protein.id] = killers[place]
            if self.random.random() < 0.3:
                assert not self.work.deliver(name, partial), "the same once more"
            worker["ran"] = []
        return True

    def run(self, name: int, task) -> bool:
        left_out = dict(task.killers)
        if not task.one_by_one:
            self.work.began(name, task.unit.key)
        for place, (_, protein) in enumerate(task.unit.members):
            if place in left_out:
                continue
            if task.one_by_one:
                assert self.work.began(name, task.unit.key, place)
            if protein.id in self.killers:
                return False
        return True


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_nothing_counted_twice(seed):
    killers = {"b0.0", "b1.4", "b1.5", "b3.11"} if seed % 2 else set()
    fate = Fate(seed, killers, accidents=0.02)
    blocks = distributed_cases.blocks(6)
    fate.play(Schedule(distributed_cases.plan, Done()), blocks)
    units = [unit for block in blocks for unit in distributed_cases.plan(block)]
    assert all(fate.absorbed[unit.key] == 1 for unit in units)
    assert killers <= fate.aside.keys()
    for unit in units:
        for _, protein in unit.members:
            assert fate.absorbed[protein.id] == (protein.id not in fate.aside)


def test_only_what_ends_its_worker_is_set_aside():
    for seed in range(10):
        fate = Fate(seed, {"b2.7"}, accidents=0.0)
        fate.play(Schedule(distributed_cases.plan, Done()), distributed_cases.blocks(6))
        assert set(fate.aside) == {"b2.7"}


def test_memory_does_not_grow_with_the_input():
    most = []
    for n in (20, 80):
        fate = Fate(0, set(), accidents=0.0)
        fate.play(Schedule(distributed_cases.plan, Done()), distributed_cases.blocks(n))
        most.append(fate.most)
    assert max(most) <= 60, "three workers hold a few units each, and one block more is read"
