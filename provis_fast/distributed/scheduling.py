"""Who runs what: units lent to workers, taken back from those that die, absorbed exactly once.

Nothing here knows processes, machines or models. A *unit* (`provis_fast.units`) is lent to one
worker at a time. The worker says what it begins and delivers sums over units that it has run; a
delivery is accepted only of units that this worker holds, and ends the loan, so that nothing counts
twice however often or late something is delivered. What a worker held when it died is lent anew.

A unit may be the reason of a death. Workers prepare a few units ahead of the one that they run, so
the units in question (the *suspects*) are each lent alone the next time, to a worker that has
nothing else. The unit that ends a second worker is run protein by protein after that, and a protein
that ends a worker with nobody else to blame is set aside, with the way it ended.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from provis_fast.partials import Partial
from provis_fast.units import WHOLE, Block, Done, Remark, Shard, Unit, UnitKey

logger = logging.getLogger(__name__)

#: Units a worker has besides the one that it runs: what it prepares meanwhile, and what it will
#: prepare before more can reach it. With more, one would sit on work at the end while others rest.
AHEAD = 3
#: Deaths of workers after which a unit is run protein by protein.
DEATHS = 2


class Task(NamedTuple):
    """What a worker is asked to do.

    Attributes
    ----------
    unit : Unit
    alone : bool
        Others have died of this, perhaps: say what is about to be run, and wait for leave. What was
        said is then known for certain, even where messages travel slower than death.
    one_by_one : bool
        Run each protein by itself, and ask leave for each.
    killers : tuple of (int, str)
        Places in `unit.members` of proteins that are not to be touched, and what the result is to
        say of each.
    """

    unit: Unit
    alone: bool = False
    one_by_one: bool = False
    killers: tuple[tuple[int, str], ...] = ()

    def remarks(self) -> tuple[Remark, ...]:
        """What the result says of the unit's records as far as they are not to be touched."""
        aside = []
        for place, reason in self.killers:
            number, protein = self.unit.members[place]
            aside.append(Remark(number, protein.id, "failed", reason, protein.source))
        return (*self.unit.remarks, *aside)


@dataclass
class _Loan:
    """What a worker holds: tasks in the order given, and which of them it has begun."""

    tasks: dict[UnitKey, Task] = field(default_factory=dict)
    begun: set[UnitKey] = field(default_factory=set)
    running: tuple[UnitKey, int | None] | None = None
    alone: bool = False

    def suspects(self) -> list[UnitKey]:
        """Units that may have ended the worker: what it ran, and what it prepared meanwhile."""
        waiting = [key for key in self.tasks if key not in self.begun]
        running = [self.running[0]] if self.running and self.running[0] in self.tasks else []
        return running + waiting[:AHEAD]


class Schedule:
    """Units of the blocks added so far, and which worker has which.

    Parameters
    ----------
    plan : callable
        From a block to its units, in order; the same for the same block every time.
    done : Done
        Units that are not to be run; looked at when a block is added.
    shard : Shard, optional
        Leave out the units of other shards.

    Attributes
    ----------
    deaths_in_a_row : int
        Workers that have died since any protein was last analysed.
    """

    def __init__(self, plan: Callable[[Block], Sequence[Unit]], done: Done, shard: Shard = WHOLE):
        self._plan, self._done, self._shard = plan, done, shard
        self._waiting: deque[Task] = deque()
        self._alone: deque[Task] = deque()  # to be lent with nothing beside
        self._loans: dict[Hashable, _Loan] = {}
        self._deaths: Counter[UnitKey] = Counter()
        self.deaths_in_a_row = 0

    def add(self, block: Block) -> dict[int, int]:
        """Take up a block; returns its number of units, unless all before it and it are done."""
        if block.index < self._done.prefix:
            return {}
        units = self._plan(block)
        self._waiting.extend(
            Task(unit) for unit in units if self._shard.has(unit.key) and unit.key not in self._done
        )
        return {block.index: len(units)}

    @property
    def waiting(self) -> int:
        """Units that nobody holds."""
        return len(self._waiting) + len(self._alone)

    @property
    def unfinished(self) -> int:
        """Units that have not been delivered."""
        return self.waiting + sum(len(loan.tasks) for loan in self._loans.values())

    def is_idle(self, worker: Hashable) -> bool:
        """Whether a worker holds nothing."""
        loan = self._loans.get(worker)
        return loan is None or not loan.tasks

    def lend(self, worker: Hashable) -> Iterator[Task]:
        """What a worker is to be given now: as much as keeps it busy, perhaps nothing."""
        loan = self._loans.setdefault(worker, _Loan())
        if not loan.tasks:
            loan.alone = bool(self._alone)
            if self._alone:
                task = self._alone.popleft()
                loan.tasks[task.unit.key] = task
                yield task
                return
        if loan.alone:
            return
        while self._waiting and len(loan.tasks) - len(loan.begun) < AHEAD:
            task = self._waiting.popleft()
            loan.tasks[task.unit.key] = task
            yield task

    def began(self, worker: Hashable, key: UnitKey, member: int | None = None) -> bool:
        """Note what a worker is about to run, a unit or one protein of it; is it to be given leave?

        A worker asks for that with tasks that are lent alone.
        """
        loan = self._loans.get(worker)
        if loan is None or key not in loan.tasks:
            return False
        loan.begun.add(key)
        loan.running = key, member
        return loan.alone

    def deliver(self, worker: Hashable, partial: Partial) -> bool:
        """Whether a delivery is to be absorbed; if so, its units are finished.

        A delivery of anything that the worker does not hold is refused as a whole, as its sums
        cannot be taken apart; what of it the worker does hold is lent anew.
        """
        loan = self._loans.get(worker, _Loan())
        unknown = [key for key in partial.units if key not in loan.tasks]
        own = [loan.tasks.pop(key) for key in partial.units if key in loan.tasks]
        loan.begun.difference_update(partial.units)
        if unknown or len(set(partial.units)) < len(partial.units):
            logger.info("refused a delivery of units that this worker does not hold: %s", unknown)
            self._waiting.extendleft(reversed(own))
            return False
        for key in partial.units:
            self._deaths.pop(key, None)
        if any(len(task.unit.members) > len(task.killers) for task in own):
            self.deaths_in_a_row = 0
        return True

    def lost(self, worker: Hashable, how: str) -> None:
        """Lend anew what a dead worker held.

        Parameters
        ----------
        how : str
            The way it ended, to follow "the worker process".
        """
        self.deaths_in_a_row += 1
        loan = self._loans.pop(worker, _Loan())
        suspects = set(loan.suspects())
        again: list[Task] = []
        for key, task in loan.tasks.items():
            if key not in suspects:
                again.append(task)
                continue
            self._deaths[key] += 1
            task = self._after_death(task, loan, how)
            # What is run protein by protein comes first, so that a fresh worker gets it.
            (self._alone.appendleft if task.one_by_one else self._alone.append)(task)
        self._waiting.extendleft(reversed(again))

    def _after_death(self, task: Task, loan: _Loan, how: str) -> Task:
        """How a suspect is to be run next."""
        key, members = task.unit.key, task.unit.members
        if not loan.alone:
            return task._replace(alone=True)
        place = loan.running[1] if loan.running and task.one_by_one else None
        if place is None and self._deaths[key] >= DEATHS:
            if len(members) > 1:
                return task._replace(one_by_one=True)
            place = 0 if members and loan.begun else None
        if place is None:
            return task
        logger.warning("the worker process %s while it ran %s alone", how, members[place][1].id)
        reason = (
            f"the worker process that ran this protein, alone in the end, {how}; others before it "
            "ended with this protein among those in work. Cut it with max_length (--max-length), "
            "give each worker more memory, or use fewer workers"
        )
        return task._replace(killers=(*task.killers, (place, reason)))
