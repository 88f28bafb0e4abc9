"""One analysis under way: which units are done, and what has come out of them.

Units are run by workers (`provis_fast.worker`): one in this process, or several in others. What
they have done is absorbed into the result whole or not at all, so that whenever the run ends, each
protein is counted once or is still to be done.
"""

from __future__ import annotations

import logging
import operator
import platform
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch

from provis_fast import compat as compatibility
from provis_fast.accumulate import Measures
from provis_fast.interruptions import uninterrupted
from provis_fast.models import Model
from provis_fast.plan import PackPlanner, Prepared
from provis_fast.prefetch import prefetched
from provis_fast.statistics import HeadStatistics
from provis_fast.units import NOTED, WHOLE, Block, Done, Shard, blocks
from provis_fast.worker import Partial, Worker

if TYPE_CHECKING:
    from provis_fast.proteins import ProteinSource
    from provis_fast.spool import Spool

logger = logging.getLogger(__name__)

#: Called with the proteins done, the tokens done, and the proteins altogether (None: not known).
ProgressCallback = Callable[[int, int, int | None], None]


class AnalysisRun:
    """One analysis under way.

    Parameters
    ----------
    model : Model
    measures : Measures
    planner : PackPlanner
        Makes the units; knows the model's limits.
    result : HeadStatistics
        Empty; what is analysed is added to it.
    source : ProteinSource
        The input.
    shard : Shard
        The share of it that is analysed.
    progress : callable, optional
        See `ProgressCallback`.
    spool : Spool, optional
        Takes rows about single proteins.

    Attributes
    ----------
    done : Done
        Finished units.
    """

    def __init__(
        self,
        model: Model,
        measures: Measures,
        planner: PackPlanner,
        result: HeadStatistics,
        source: ProteinSource,
        *,
        shard: Shard = WHOLE,
        progress: ProgressCallback | None = None,
        spool: Spool | None = None,
    ):
        self.model, self.measures, self.planner, self.result = model, measures, planner, result
        self.source, self.shard, self.done = source, shard, Done(shard)
        self._progress, self._spool = progress, spool
        self._total: int | None = None  # records, once all were read
        self._background: tuple[list[int], list[int], list[str]] | None = None
        self._tokens = 0
        self._digests = array("Q")  # of the analysed proteins
        self._began, self._clock = datetime.now(UTC), time.perf_counter()

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of single proteins that workers are to make rows for."""
        return () if self._spool is None else self._spool.tables

    def serially(self) -> None:
        """Analyse in this process: one thread reads and prepares, this one runs the model."""
        worker = Worker(
            self.model, self.measures, self.planner, result=self.result, tables=self.tables
        )
        with prefetched(self._prepared()) as prepared, worker:
            try:
                for unit, sizes in prepared:
                    if unit is not None:
                        worker.run(unit)
                    with uninterrupted():  # the worker has added to the result already
                        self.absorb(worker.take(sizes))
                    if unit is not None and (unit.packs or unit.remarks):
                        self._report()
            except BaseException:
                with uninterrupted():  # a unit may have been done just as Ctrl-C came
                    self.absorb(worker.take())
                raise
        self._report()

    def absorb_all(self, partials: Iterable[Partial]) -> None:
        """Analyse by workers elsewhere, which yield what they have done."""
        for partial in partials:
            self.absorb(partial)
            self._report()
        self._report()

    def absorb(self, partial: Partial) -> None:
        """Take what a worker has done into the result, whole or not at all."""
        if twice := [key for key in partial.units if key in self.done]:
            raise RuntimeError(f"unit {twice[0]} came twice; this is a mistake of provis_fast")
        with uninterrupted():
            if self._spool is not None:
                self._spool.append_parts(partial.tables)
            if partial.result is not None:
                self.result.add_result(partial.result)
            for block, n_parts in partial.blocks.items():
                self.done.end_block(block, n_parts)
            for key in partial.units:
                self.done.add(key)
            for template, n in partial.counted.items():
                self.result.count(template, n)
            self._digests.frombytes(partial.digests.tobytes())
            self._tokens += partial.tokens
            for remark in partial.remarks:
                self.result.remarks.add(remark)
        for remark in partial.remarks:
            if remark.status != NOTED:
                logger.info("%s %s: %s", remark.status, remark.id, remark.reason)

    def blocks(self) -> Iterator[Block]:
        """Blocks of the input, all of them: records are counted, and duplicates known, by them."""
        read = 0
        for block in blocks(self.source.records()):
            read += len(block.records)
            yield block
        self._total = read

    def read_background(self, source: ProteinSource) -> None:
        """Pool the background of a corpus of its own; `finish` puts it into the result.

        Interrupted, the result has no background at all rather than that of its own proteins.
        """
        for records in ((), source.records()):
            self._background = compatibility.pooled_background(self.measures.properties, records)

    def finish(self) -> None:
        """Write down what the run was like."""
        self.result.protein_digests = np.unique(np.array(self._digests, dtype=np.uint64))
        if self._background is not None:
            *numbers, notes = self._background
            with uninterrupted():
                self.result.unknown = tuple(self.result.unknown_properties)
                compatibility.replace_background(self.result, *numbers)
            self.result.general_notes.extend(notes)
        self.result.run = [
            {
                "started": self._began.isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - self._clock, 3),
                "host": platform.node(),
                "threads": torch.get_num_threads(),
                "tokens": self._tokens,
            }
        ]

    def _prepared(self) -> Iterator[tuple[Prepared | None, dict[int, int]]]:
        """Units of this shard that are still to be done, with the sizes of blocks seen meanwhile.

        Runs in the reading thread.
        """
        sizes: dict[int, int] = {}
        for block in self.blocks():
            if block.index < self.done.prefix:
                continue
            units = self.planner.units(block)
            sizes[block.index] = len(units)
            for unit in units:
                if self.shard.has(unit.key) and unit.key not in self.done:
                    yield self.planner.prepare(unit), sizes
                    sizes = {}
        yield None, sizes

    def _report(self) -> None:
        if self._progress is not None:
            done = self.result.read
            total = self._total or operator.length_hint(self.source, 0)
            total = -(-total // self.shard.of) or None
            self._progress(done, self._tokens, total if total is None else max(total, done))
