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
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from provis_fast import compat as compatibility
from provis_fast.checkpoint import Checkpoints, State
from provis_fast.errors import ResultError
from provis_fast.events import Checkpointed
from provis_fast.identity import fingerprint
from provis_fast.interruptions import uninterrupted
from provis_fast.measures import Measures
from provis_fast.models import Model
from provis_fast.packs import Prepared
from provis_fast.partials import Partial, Tables
from provis_fast.plan import PackPlanner
from provis_fast.prefetch import prefetched
from provis_fast.properties.columns import missing_columns
from provis_fast.proteins import Protein, ProteinSource, SetAside
from provis_fast.proteins.reader_process import Batch
from provis_fast.stages import WAIT, Lane, Span, Total
from provis_fast.statistics import HeadStatistics
from provis_fast.units import NOTED, WHOLE, Block, Done, Shard, Unit, blocks
from provis_fast.watch import Watch
from provis_fast.worker import Worker

if TYPE_CHECKING:
    from provis_fast.proteins import ProteinSource

logger = logging.getLogger(__name__)


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
    watch : Watch, optional
        Is told how far the analysis has come.
    readers : int, optional
        Processes that read the input; see `provis_fast.proteins.reading_ahead`.
    checkpoints : Checkpoints, optional
        Where the state of the run is kept.
    tables : Tables, optional
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
        watch: Watch | None = None,
        readers: int | None = 0,
        checkpoints: Checkpoints | None = None,
        tables: Tables | None = None,
    ):
        self.model, self.measures, self.planner, self.result = model, measures, planner, result
        self.source, self.shard, self.done = source, shard, Done(shard)
        self.watch, self._readers = watch or Watch(stages=planner.stages), readers
        self._read_elsewhere = False  # by other processes
        self._bytes_read = 0
        self._checkpoints, self._tables = checkpoints, tables
        self._fingerprint = fingerprint(result, self.tables)
        self._total: int | None = None  # records, once all were read
        self._background: tuple[list[int], list[int], list[str]] | None = None
        self._digests = array("Q")  # of the analysed proteins
        self._sessions: list[dict[str, Any]] = []  # earlier ones
        self._tokens = 0
        self._began, self._clock = datetime.now(UTC), time.perf_counter()

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of single proteins for which workers are to make rows."""
        return () if self._tables is None else self._tables.names

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one.

        Raises
        ------
        ResultError
            It is damaged, or another run's.
        """
        state = None if self._checkpoints is None else self._checkpoints.read(self._fingerprint)
        if state is None:
            return
        try:
            self.done = Done.from_json(state.done, self.shard)
            self.result.totals.fill(state.totals)
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(
                f"{self._checkpoints.path}: does not hold what this run needs ({error}); start "
                "anew with resume=False (--no-resume)"
            ) from error
        self.result.analysed, self.result.residues = state.analysed, state.residues
        self.result.remarks, self.result.counted = state.remarks, state.counted_notes
        self._digests.frombytes(state.digests.tobytes())
        self._sessions = state.run
        if self._tables is not None:
            self._tables.resume(state.tables)

    @property
    def earlier_tokens(self) -> int:
        """Run by earlier sessions."""
        return sum(session["tokens"] for session in self._sessions)

    def checkpoint(self) -> None:
        """Keep the state on the disk, if it is to be kept."""
        if self._checkpoints is not None:
            self._keep(self._checkpoints)

    def _keep(self, checkpoints: Checkpoints) -> bool:
        with self.planner.stages.timed("checkpoint"):
            return checkpoints.write(self._state)

    def _state(self) -> State:
        result = self.result
        return State(
            self._fingerprint,
            self.done.to_json(),
            dict(result.totals.items()),
            result.analysed,
            result.residues,
            result.remarks,
            result.counted,
            np.array(self._digests, dtype=np.uint64),
            [*self._sessions, self._session()],
            None if self._tables is None else self._tables.commit(),
        )

    def serially(self) -> None:
        """Analyse in this process: one thread reads and prepares, this one runs the model."""
        worker = Worker(
            self.model, self.measures, self.planner, result=self.result, tables=self.tables
        )
        with prefetched(self._prepared(), cancel=self.stop_reading) as prepared, worker:
            try:
                for unit, sizes in self.planner.stages.waiting(prepared):
                    if unit is not None:
                        worker.run(unit)
                    with uninterrupted():  # the worker has added to the result already
                        self.absorb(worker.take(sizes))
                    if unit is not None and (unit.packs or unit.remarks):
                        self._after_each()
            except BaseException:
                with uninterrupted():  # a unit may have been done just as Ctrl-C came
                    self.absorb(worker.take())
                raise
        self._report(last=True)

    def absorb_all(self, partials: Iterable[Partial]) -> None:
        """Analyse by workers elsewhere, which yield what they have done."""
        for partial in partials:
            self.absorb(partial)
            self._after_each()
        self._report(last=True)

    def absorb(self, partial: Partial) -> None:
        """Take what a worker has done into the result, whole or not at all.

        Where this raises, totals and finished units may not be of the same proteins: no checkpoint
        is written any more, and the last one stays.
        """
        with uninterrupted():
            try:
                self._absorb(partial)
            except BaseException:
                self._checkpoints = None
                raise
        for remark in partial.remarks:
            if remark.status != NOTED:
                logger.info("%s %s: %s", remark.status, remark.id, remark.reason)
                self.watch.set_aside(remark)

    def _absorb(self, partial: Partial) -> None:
        if twice := [key for key in partial.units if key in self.done]:
            raise RuntimeError(f"unit {twice[0]} came twice; this is a mistake of provis_fast")
        if self._tables is not None:
            self._tables.append(partial.tables)
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
        if partial.stages is not None:
            self.planner.stages.merge(partial.stages)
        for remark in partial.remarks:
            self.result.remarks.add(remark)

    def blocks(self) -> Iterator[Block]:
        """Blocks of the input, all of them: records are counted, and duplicates known, by them."""
        read = 0
        stream = blocks(self._records())
        while True:
            with self.planner.stages.timed("read") as span:
                block = next(stream, None)
                if block is None:
                    break
                if self._read_elsewhere:
                    span.stage = WAIT
                else:
                    span.count(
                        proteins=len(block.records), tokens=_residues(block), bytes=self._bytes()
                    )
            if not read:
                missing_columns(self.measures.properties, block.records)
            read += len(block.records)
            yield block
        self._total = read

    def stop_reading(self) -> None:
        """End the processes that read the input; may be called from any thread."""
        if isinstance(self.source, ProteinSource):
            self.source.stop_reading()

    def _records(self) -> Iterator[Protein | SetAside]:
        if not isinstance(self.source, ProteinSource):
            return self.source.records()
        labels = {name for prop in self.measures.properties for name in prop.label_names}
        return self.source.records(
            readers=self._readers, labels=sorted(labels), took=self._read_by_another
        )

    def _bytes(self) -> int:
        """Of the files that were read to their end since this was asked last."""
        so_far = getattr(self.source, "bytes_read", 0)
        bytes_, self._bytes_read = so_far - self._bytes_read, so_far
        return bytes_

    def _read_by_another(self, reader: str, batch: Batch) -> None:
        self._read_elsewhere = True
        total = Total(batch.seconds, batch.n_records, batch.residues, batch.n_bytes)
        sizes = {"proteins": batch.n_records, "tokens": batch.residues}
        span = Span(Lane(reader, "files"), "read", batch.began, batch.seconds, sizes)
        self.planner.stages.add(span.lane, span.stage, total, span)

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
        self.result.run = [*self._sessions, self._session()]

    def _session(self) -> dict[str, Any]:
        return {
            "started": self._began.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 3),
            "host": platform.node(),
            "threads": torch.get_num_threads(),
            "tokens": self._tokens,
        }

    def pending(self) -> Iterator[tuple[Unit | None, dict[int, int]]]:
        """Units of this shard that are still to be done, in order.

        Yields
        ------
        unit : Unit or None
            None at the end, for the sake of the last sizes.
        sizes : dict of int to int
            Numbers of parts of the blocks read since the one before; a `Partial` has to tell them.
        """
        sizes: dict[int, int] = {}
        for block in self.blocks():
            if block.index < self.done.prefix:
                continue
            units = self.planner.units(block)
            sizes[block.index] = len(units)
            # Asked before any of them is handed out: the thread that absorbs may end the block, and
            # change what is known of it, while this one asks.
            todo = [u for u in units if self.shard.has(u.key) and u.key not in self.done]
            for unit in todo:
                yield unit, sizes
                sizes = {}
        yield None, sizes

    def _prepared(self) -> Iterator[tuple[Prepared | None, dict[int, int]]]:
        """The same, ready to run; in the reading thread."""
        for unit, sizes in self.pending():
            yield None if unit is None else self.planner.prepare(unit), sizes

    def _after_each(self) -> None:
        if self._checkpoints is not None and self._checkpoints.due:
            began = time.perf_counter()
            if self._keep(self._checkpoints):
                seconds = time.perf_counter() - began
                path = str(self._checkpoints.path)
                self.watch.tell(Checkpointed(self.result.read, path, seconds))
        self._report()

    def _report(self, last: bool = False) -> None:
        done = self.result.read
        total = self._total or operator.length_hint(self.source, 0)
        total = -(-total // self.shard.of) or None
        total = total if total is None else max(total, done)
        self.watch.progressed(done, self.earlier_tokens + self._tokens, total, last=last)


def _residues(block: Block) -> int:
    return sum(len(record) for record in block.records if isinstance(record, Protein))
