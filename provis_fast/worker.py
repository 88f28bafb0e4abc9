"""Runs units through a model: packs, and what becomes of those that fail.

A unit is added to the worker's result as a whole or not at all; where a pack cannot be run, its
proteins are tried in smaller company, and a protein that fails alone is set aside with its reason.
A forward pass ends with the scores of the last analysed layer: its output, and all that would come
after it, is not computed.

The process that analyses has a worker of its own, whose result is the run's. Other processes make
theirs from a `provis_fast.worker_spec.WorkerSpec`, and send back what `Worker.take` gives them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from provis_fast import arc_lists
from provis_fast.accumulate import BatchStatistics, move_properties
from provis_fast.arc_lists import ArcList, ArcOverflowError, arc_room
from provis_fast.errors import ModelError
from provis_fast.interruptions import uninterrupted
from provis_fast.measures import Measures
from provis_fast.memory_errors import is_out_of_memory, out_of_memory
from provis_fast.models import Model, StopForward, activations, linear, packed_terms, routed
from provis_fast.packs import Entry, Pack, Prepared, halves
from provis_fast.partials import Partial, Told, UnderWay
from provis_fast.plan import PackPlanner
from provis_fast.statistics import HeadStatistics
from provis_fast.threads import thread_count
from provis_fast.units import Remark

if TYPE_CHECKING:
    from provis_fast.per_protein.rows import ProteinRows

# What torch says of a position that an embedding or a buffer of positions does not have.
_OUT_OF_RANGE = re.compile(r"out of (range|bounds)|expanded size|must match", re.IGNORECASE)
_HALVED = (
    "{n} pack(s) of proteins did not fit into memory and were run in halves; attention may differ "
    "in its last places from that of whole packs"
)


class _Failure(NamedTuple):
    """Why proteins could not be run together."""

    reason: str
    memory: bool = False


class Worker:
    """Runs units; a context manager, inside of which the model's attention is that of the kernels.

    Parameters
    ----------
    model : Model
    measures : Measures
    planner : PackPlanner
        Made the units; lays proteins side by side anew.
    result : HeadStatistics, optional
        Takes the totals. By default they are kept apart, and handed over by `take`.
    tables : sequence of str
        Make rows about single proteins for these of `provis_fast.per_protein.schemas.TABLES`.
    threads : int, optional
        Of the model and the kernels; default `torch.get_num_threads()`.
    """

    def __init__(
        self,
        model: Model,
        measures: Measures,
        planner: PackPlanner,
        *,
        result: HeadStatistics | None = None,
        tables: Sequence[str] = (),
        threads: int | None = None,
    ):
        self.model, self.measures, self.planner = model, measures, planner
        self.result = measures.empty() if result is None else result
        self._hands_over = result is None
        self._tables, self._threads = tuple(tables), threads
        self._rows = _row_maker(self._tables, measures)
        self._batch: BatchStatistics | None = None
        self._done = Told()
        self._stack = ExitStack()
        self._attention = 0.0  # seconds of this forward pass
        self._waits = model.device.type == "cpu"  # for what it asks for; a GPU only takes note

    def __enter__(self) -> Worker:
        with ExitStack() as stack:
            stack.enter_context(thread_count(self._threads))
            stack.enter_context(torch.inference_mode())
            stack.enter_context(routed(self.model.module, self._attend))
            stack.enter_context(linear.faster(self.model.module))
            stack.enter_context(activations.in_place(self.model.module))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, prepared: Prepared) -> None:
        """Add a unit to the result. Where this raises, nothing of it was added."""
        unit = UnderWay(prepared)
        if len(prepared.packs) > 1:
            unit.apart = self.measures.empty()
        for pack in prepared.packs:
            self._add(unit, pack.entries, pack)
        if unit.added:
            return
        with uninterrupted():
            if unit.apart is not None:
                self.result.add_result(unit.apart)
            self._done.add(unit)

    @property
    def table_bytes(self) -> int:
        """Memory of the rows of single proteins that `take` would hand over."""
        return self._done.table_bytes

    def take(self, blocks: dict[int, int] | None = None) -> Partial:
        """What was done since the last call, for the coordinator to absorb.

        Parameters
        ----------
        blocks : dict of int to int, optional
            Numbers of parts of blocks to tell along with it.
        """
        with uninterrupted():
            done, self._done = self._done, Told()
            result = None
            if self._hands_over:
                result, self.result = self.result, self.measures.empty()
        return Partial(
            done.units,
            dict(blocks or {}),
            result,
            done.remarks,
            done.counted,
            np.array(done.digests, dtype=np.uint64),
            done.tokens,
            done.tables,
            self.planner.stages.take() if self._hands_over else None,
        )

    def _add(
        self,
        unit: UnderWay,
        entries: Sequence[Entry],
        pack: Pack | None = None,
        room: int | None = None,
    ) -> None:
        """Add proteins of a unit; in smaller company where they cannot be run together.

        Those that do not fit into memory, or have more arcs than there is `room` for (by default as
        `arc_room` says), are run in halves, and a single one with as much room as it takes.
        """
        try:
            failure = self._attempt(unit, entries, pack, room)
        except ArcOverflowError as overflow:  # nothing of it was added
            if len(entries) == 1:
                self._add(unit, entries, room=overflow.total)
                return
            parts = halves(entries)
        else:
            if failure is None:
                return
            if len(entries) == 1:
                (entry,) = entries
                aside = Remark(entry.number, entry.id, "failed", failure.reason, entry.source)
                unit.remarks.append(aside)
                return
            parts = halves(entries) if failure.memory else [[entry] for entry in entries]
            if failure.memory:
                unit.counted[_HALVED] = 1
        if unit.apart is None:
            unit.apart = self.measures.empty()
        for part in parts:
            self._add(unit, part)

    def _attempt(
        self, unit: UnderWay, entries: Sequence[Entry], pack: Pack | None, room: int | None
    ) -> _Failure | None:
        """Run a pack and add it to its unit; where that fails nothing is added.

        Raises
        ------
        ArcOverflowError
            It has more arcs than there is room for.
        """
        try:
            pack = pack or self.planner.pack(entries)
            with self.planner.stages.timed("forward", unit=unit.name) as span:
                batch = self._forward(pack, room)
                not_finite = batch.not_finite()  # waits for the GPU
                span.count(proteins=len(pack.entries), tokens=pack.n_tokens)
                if self._waits:
                    span.part("attention", self._attention)
            if not_finite:
                return _Failure(
                    f"NaN or infinity among the attention scores of {self.model.name} in "
                    f"{self.model.dtype}; expected finite numbers. Check the weights, or use "
                    "float32"
                )
            if batch.arcs is not None:
                batch.arcs.check()
            rows = None
            if self._rows is not None:
                rows = self._rows.of(batch, pack, self.model.tokens.n_prefix)
            timed = self.planner.stages.timed("statistics", unit=unit.name)
            with uninterrupted(), timed as span:  # all or nothing: counted once the unit is told
                span.count(proteins=len(pack.entries))
                into = self.result if unit.apart is None else unit.apart
                batch.add_to(into, *pack.background, pack.n_residues, pack.digests)
                unit.digests.extend(entry.digest for entry in pack.entries)
                unit.tokens += pack.n_tokens
                if rows is not None:
                    unit.tables.append(rows)
                if unit.apart is None:
                    self._done.add(unit)
        except (MemoryError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                return _Failure(out_of_memory(error), memory=True)
            if self.model.packs or not _OUT_OF_RANGE.search(str(error)):
                raise
            return _Failure(
                f"{self.model.name} cannot take {pack.n_tokens} tokens ({error}): more than it has "
                "positions for, it seems; cut proteins with max_length (--max-length)"
            )
        finally:
            self._batch = None  # its memory is needed for the next one
        return None

    def _forward(self, pack: Pack, room: int | None) -> BatchStatistics:
        device = self.model.device
        arcs = None
        if "arcs" in self._tables:
            if room is None:
                room = arc_room(self.measures, pack.n_residues, arc_lists.MAX_BYTES)
            arcs = ArcList(self.measures.layers, room, device)
        self._cu_seqlens = pack.cu_seqlens.to(device, non_blocking=True)
        self._residues = pack.residues.to(device, non_blocking=True)
        self._longest = pack.longest
        self._attention = 0.0
        self._batch = BatchStatistics(
            self.measures,
            len(pack.entries),
            move_properties(pack.properties, device),
            device,
            arcs=arcs,
            n_tokens=pack.n_tokens if "received" in self._tables else None,
        )
        try:
            self.model.module(**pack.inputs)
        except StopForward:
            return self._batch
        raise ModelError(
            f"{self.model.name}: the attention of layer {self.measures.layers[-1] + 1} never "
            "reached the kernels; this kind of model cannot be analysed"
        )

    def _attend(
        self,
        layer: int,
        query: Tensor,  # [1, H, T, D]
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scale: float,
        **terms: Any,
    ) -> Tensor:
        """Attention of one layer of the model; sequences of a pack see only themselves."""
        last = layer == self.measures.layers[-1]
        began = time.perf_counter()
        output = self._batch.attend(
            layer,
            query[0].transpose(0, 1),
            key[0].transpose(0, 1),
            None if last else value[0].transpose(0, 1),
            scale=scale,
            cu_seqlens=self._cu_seqlens,
            residues=self._residues,
            max_length=self._longest,
            **packed_terms(terms),
        )
        self._attention += time.perf_counter() - began
        if last:
            raise StopForward
        return output[None]  # [1, T, H, D]


def _row_maker(tables: Sequence[str], measures: Measures) -> ProteinRows | None:
    if not tables:
        return None
    from provis_fast.per_protein.rows import ProteinRows  # pyarrow is slow to load

    return ProteinRows(tables, measures)
