"""Workers started, fed, replaced and stopped, with workers that are only pretended."""

from __future__ import annotations

import itertools
import logging
import threading

import distributed_cases
import pytest
from distributed_cases import delivery

from provis_fast.distributed.pool import DEATHS_IN_A_ROW, Began, Failed, Logged, Lost, Pool, Ready
from provis_fast.distributed.scheduling import Schedule
from provis_fast.errors import ArgumentError, ModelError, WorkerError
from provis_fast.units import Done, Shard
from provis_fast.versions import current


class Pretended:
    """A transport whose workers do everything the moment they are told to.

    Parameters
    ----------
    starts : sequence of message
        What each new worker says first, in turn; `Ready` when there is none left.
    killers : set of str
        Ids of proteins that end a worker.
    says : callable
        From a number (of units run so far by all) to further messages.
    """

    def __init__(self, starts=(), killers=(), says=lambda n: []):
        self.starts, self.killers, self.says = list(starts), set(killers), says
        self.workers, self.closed, self.run = [], False, 0

    def start(self, place, post):
        worker = PretendedWorker(self, post)
        self.workers.append(worker)
        post(self.starts.pop(0) if self.starts else Ready(current()))
        return worker

    def close(self):
        self.closed = True

    @property
    def all_stopped(self) -> bool:
        return self.closed and all(worker.stopped for worker in self.workers)


class PretendedWorker:
    def __init__(self, transport, post):
        self.transport, self.post = transport, post
        self.stopped = self.dead = False
        self.rest = iter(())
        self.aside = []

    def give(self, tasks):
        for task in tasks:
            if self.dead:
                return
            if not task.alone:
                self.post(Began(task.unit.key, None))
                self.end(task, [protein.id for _, protein in task.unit.members])
                continue
            assert len(tasks) == 1
            self.rest = self.steps(task)
            next(self.rest, None)

    def leave(self):
        next(self.rest, None)

    def steps(self, task):
        left_out = dict(task.killers)
        ids = [p.id for place, (_, p) in enumerate(task.unit.members) if place not in left_out]
        if task.one_by_one:
            for place, (_, protein) in enumerate(task.unit.members):
                if place not in left_out:
                    self.post(Began(task.unit.key, place))
                    yield
                    if protein.id in self.transport.killers:
                        self.die()
                        return
        else:
            self.post(Began(task.unit.key, None))
            yield
        self.aside += [remark.id for remark in task.remarks()]
        self.end(task, ids)

    def end(self, task, ids):
        if self.transport.killers.intersection(ids):
            self.die()
            return
        self.transport.run += 1
        for message in self.transport.says(self.transport.run):
            self.post(message)
        self.post(delivery([task.unit.key])._replace(remarks=list(task.remarks())))

    def die(self):
        self.dead = True
        self.post(Lost("was killed by SIGSEGV"))

    def stop(self):
        self.stopped = True


def run(transport, blocks, workers=2, shard=None):
    """All that the pool yields: units, sizes, ids set aside."""
    options = {} if shard is None else {"shard": shard}
    pool = Pool(transport, workers, Schedule(distributed_cases.plan, Done(), **options))
    units, sizes, aside = [], {}, []
    for partial in pool.over(iter(blocks)):
        units += partial.units
        sizes |= partial.blocks
        aside += [remark.id for remark in partial.remarks]
    assert transport.all_stopped
    return units, sizes, aside


def every_unit(blocks):
    return sorted(unit.key for block in blocks for unit in distributed_cases.plan(block))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_unit_comes_once(workers):
    blocks = distributed_cases.blocks(5)
    units, sizes, aside = run(Pretended(), blocks, workers)
    assert sorted(units) == every_unit(blocks)
    assert sizes == dict.fromkeys(range(5), 5) and aside == []


def test_shards_share_the_units():
    blocks = distributed_cases.blocks(5)
    shares = [run(Pretended(), blocks, shard=Shard(k, 3))[0] for k in (1, 2, 3)]
    assert sorted(itertools.chain(*shares)) == every_unit(blocks)


def test_no_input_needs_no_work():
    assert run(Pretended(), []) == ([], {}, [])


@pytest.mark.parametrize("workers", [1, 3])
def test_proteins_that_end_their_workers_are_set_aside(workers, caplog):
    blocks = distributed_cases.blocks(5)
    transport = Pretended(killers={"b0.0", "b2.4", "b2.5", "b4.11"})
    units, _, aside = run(transport, blocks, workers)
    assert sorted(units) == every_unit(blocks)
    assert sorted(aside) == ["b0.0", "b2.4", "b2.5", "b4.11"]
    assert "was killed by SIGSEGV; another takes its place" in caplog.text


def test_a_model_that_cannot_be_loaded_is_told_once(caplog):
    transport = Pretended(starts=[Failed(ModelError("no such model"))] * 3)
    with pytest.raises(ModelError, match="no such model"):
        run(transport, distributed_cases.blocks(1), 3)
    assert len(transport.workers) == 3 and transport.all_stopped
    assert caplog.text == ""


def test_workers_that_die_at_the_start_are_told_with_the_way_they_ended():
    transport = Pretended(starts=[Lost("was killed by SIGKILL")] * 2)
    with pytest.raises(WorkerError, match="was killed by SIGKILL, before it had loaded the model"):
        run(transport, distributed_cases.blocks(1), 2)
    assert transport.all_stopped


def test_the_others_go_on_where_one_cannot_start(caplog):
    blocks = distributed_cases.blocks(3)
    transport = Pretended(starts=[Failed(ModelError("no memory on cuda:0"))])
    units, *_ = run(transport, blocks, 2)
    assert sorted(units) == every_unit(blocks)
    assert caplog.text.count("goes on with fewer workers: no memory on cuda:0") == 1


def test_a_replacement_may_fail_to_start_once(caplog):
    blocks = distributed_cases.blocks(2)
    died = Lost("was killed by SIGKILL")
    transport = Pretended(starts=[Ready(current()), died], killers={"b0.3"})
    units, _, aside = run(transport, blocks, 1)
    assert sorted(units) == every_unit(blocks) and aside == ["b0.3"]
    assert "it is started once more" in caplog.text


def test_a_bad_argument_ends_the_analysis_at_once():
    transport = Pretended(starts=[Ready(current()), Failed(ArgumentError("devices: no cuda:1"))])
    with pytest.raises(ArgumentError, match="no cuda:1"):
        run(transport, distributed_cases.blocks(50), 2)
    assert transport.all_stopped


def test_what_a_worker_raises_is_raised():
    transport = Pretended(says=lambda n: [Failed(ModelError("unexpected"))] if n == 7 else [])
    with pytest.raises(ModelError, match="unexpected"):
        run(transport, distributed_cases.blocks(5))
    assert transport.all_stopped


def test_what_reading_raises_is_raised():
    def broken():
        yield from distributed_cases.blocks(2)
        raise OSError("the disk is gone")

    transport = Pretended()
    with pytest.raises(OSError, match="the disk is gone"):
        run(transport, broken())
    assert transport.all_stopped


def test_a_machine_where_everything_dies_is_given_up():
    ids = {p.id for block in distributed_cases.blocks(20) for p in block.records}
    transport = Pretended(killers=ids)
    with pytest.raises(WorkerError, match=r"ended one after the other.*SIGSEGV"):
        run(transport, distributed_cases.blocks(20), 1)
    assert DEATHS_IN_A_ROW <= len(transport.workers) <= DEATHS_IN_A_ROW + 4


def test_blocks_are_read_as_they_are_needed():
    read = 0

    def blocks():
        nonlocal read
        for block in distributed_cases.blocks(50):
            read += 1
            yield block

    transport = Pretended()
    pool = Pool(transport, 2, Schedule(distributed_cases.plan, Done()))
    stream = pool.over(blocks())
    seen: set = set()
    for partial in stream:
        seen.update(key[0] for key in partial.units)
        assert read <= len(seen) + 6
        if len(seen) > 20:
            break
    stream.close()
    assert transport.all_stopped and read < 30


def test_interrupted_workers_are_stopped():
    transport = Pretended()
    stream = Pool(transport, 2, Schedule(distributed_cases.plan, Done())).over(
        iter(distributed_cases.blocks(50))
    )
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)
    assert transport.all_stopped
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("provis_fast-blocks") <= 1


def test_warnings_of_all_workers_are_told_once(caplog):
    caplog.set_level(logging.INFO, "provis_fast")

    def says(n):
        return [
            Logged("provis_fast.plan", logging.WARNING, "%s is long", f"p{n} is long", True),
            Logged("provis_fast.plan", logging.INFO, "read %s", f"read p{n}", False),
        ]

    run(Pretended(says=says), distributed_cases.blocks(2))
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.getMessage() for r in warnings] == ["p1 is long"] and warnings[0].noted
    assert sum(r.getMessage().startswith("read p") for r in caplog.records) == 10


def test_other_software_is_told_once(caplog):
    others = Ready(current() | {"torch": ("1.0",)})
    run(Pretended(starts=[others] * 2), distributed_cases.blocks(1))
    assert caplog.text.count("a worker has other software: torch 1.0 (here ") == 1
