"""One analysis under way: packs through the model, and what becomes of those that fail.

Packs are prepared in another thread (`provis_fast.plan`). A pack is added to the result as a whole
or not at all; where it cannot be, its proteins are tried in smaller company, and a protein that
fails alone is set aside with its reason. A forward pass ends with the scores of the last analysed
layer: its output, and all that would come after it, is not computed.
"""

from __future__ import annotations

import logging
import operator
import platform
import re
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from provis_fast import arc_lists
from provis_fast import compat as compatibility
from provis_fast.accumulate import BatchStatistics, Measures, move_properties
from provis_fast.arc_lists import ArcList, ArcOverflowError, arc_room
from provis_fast.errors import ModelError
from provis_fast.interruptions import uninterrupted
from provis_fast.models import Model, StopForward, activations, linear, packed_terms, routed
from provis_fast.outcome import unknown_note
from provis_fast.plan import Entry, Pack, PackPlanner, Remark, is_out_of_memory, out_of_memory
from provis_fast.prefetch import prefetched
from provis_fast.proteins import SetAside
from provis_fast.statistics import HeadStatistics

if TYPE_CHECKING:
    from provis_fast.arcs import ArcWriter
    from provis_fast.proteins import ProteinSource

logger = logging.getLogger(__name__)

# What torch says of a position that an embedding or a buffer of positions does not have.
_OUT_OF_RANGE = re.compile(r"out of (range|bounds)|expanded size|must match", re.IGNORECASE)

#: Called with the proteins done, the tokens done, and the proteins altogether (None: not known).
ProgressCallback = Callable[[int, int, int | None], None]


class AnalysisRun:
    """One analysis under way.

    Parameters
    ----------
    model : Model
    measures : Measures
    planner : PackPlanner
        Makes the packs; knows the model's limits.
    result : HeadStatistics
        Empty; what is analysed is added to it.
    progress : callable, optional
        See `ProgressCallback`.
    arcs : ArcWriter, optional
        Takes every arc.
    """

    def __init__(
        self,
        model: Model,
        measures: Measures,
        planner: PackPlanner,
        result: HeadStatistics,
        progress: ProgressCallback | None,
        arcs: ArcWriter | None,
    ):
        self._arcs = arcs
        self.model, self.measures, self.planner, self.result = model, measures, planner, result
        self._progress = progress
        self._remarks: list[Remark] = []
        self._background: tuple[list[int], list[int], list[str]] | None = None
        self._batch: BatchStatistics | None = None
        self._tokens = self._set_aside = 0
        self._digests = array("Q")  # of the analysed proteins
        self._began, self._clock = datetime.now(UTC), time.perf_counter()

    def over(self, source: ProteinSource) -> None:
        """Analyse all records."""
        with (
            prefetched(self.planner(source.records())) as prepared,
            torch.inference_mode(),
            routed(self.model.module, self._attend),
            linear.faster(self.model.module),
            activations.in_place(self.model.module),
        ):
            for item in prepared:
                if isinstance(item, Remark):
                    self._remark(item)
                    continue
                self._add(item.entries, item)
                self._report(source)
        self._report(source)

    def read_background(self, source: ProteinSource) -> None:
        """Pool the background of a corpus of its own; `finish` puts it into the result.

        Interrupted, the result has no background at all rather than that of its own proteins.
        """
        for records in ((), source.records()):
            self._background = compatibility.pooled_background(self.measures.properties, records)

    def finish(self) -> None:
        """Write down what the run was like: of the whole first, then of each record in order."""
        if longer := self.planner.longer_than_trained:
            self.result.note(
                f"{longer} protein(s) longer than the {self.planner.trained_residues} residues "
                "that the model was trained on; its positions have no limit, so they were analysed"
            )
        if stand_ins := sorted(self.planner.without_token):
            self.result.note(
                f"{self.model.name} has no token for {', '.join(stand_ins)}: its unknown token "
                "stands for these residues"
            )
        for name in self.result.unknown_properties:
            self.result.note(unknown_note(name))
        for remark in sorted(self._remarks, key=lambda remark: remark.number):
            if isinstance(remark.what, str):
                self.result.notes.append(remark.what)
            else:
                self.result.note(remark.what)
        self._remarks = []
        self.result.protein_digests = np.unique(np.array(self._digests, dtype=np.uint64))
        if self._background is not None:
            *numbers, notes = self._background
            with uninterrupted():
                compatibility.replace_background(self.result, *numbers)
            self.result.notes.extend(notes)
        self.result.run = [
            {
                "started": self._began.isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - self._clock, 3),
                "host": platform.node(),
                "threads": torch.get_num_threads(),
                "tokens": self._tokens,
            }
        ]

    def _add(
        self, entries: Sequence[Entry], pack: Pack | None = None, room: int | None = None
    ) -> None:
        """Add proteins to the result; one by one where they cannot be run together.

        Those with more arcs than there is `room` for (by default as `arc_room` says) are run in
        halves, and a single one with as much room as it takes.
        """
        try:
            reason = self._attempt(entries, pack, room)
        except ArcOverflowError as overflow:  # nothing of it was added
            if len(entries) == 1:
                self._add(entries, room=overflow.total)
                return
            half = len(entries) // 2
            self._add(entries[:half])
            self._add(entries[half:])
            return
        if reason is not None and len(entries) > 1:
            for entry in entries:
                self._add([entry])
        elif reason is not None:
            (entry,) = entries
            self._remark(Remark(entry.number, SetAside(entry.id, "failed", reason, entry.source)))

    def _attempt(self, entries: Sequence[Entry], pack: Pack | None, room: int | None) -> str | None:
        """Run a pack and add it to the result; where that fails nothing is added.

        Returns
        -------
        str or None
            Why it failed.

        Raises
        ------
        ArcOverflowError
            It has more arcs than there is room for.
        """
        try:
            pack = pack or self.planner.pack(entries)
            batch = self._forward(pack, room)
            if batch.not_finite():
                return (
                    f"NaN or infinity among the attention scores of {self.model.name} in "
                    f"{self.model.dtype}; expected finite numbers. Check the weights, or use "
                    "float32"
                )
            if batch.arcs is not None:
                batch.arcs.check()
            with uninterrupted():  # all or nothing: a protein counts once its digest is known
                batch.add_to(self.result, *pack.background, pack.n_residues)
                self._digests.extend(entry.digest for entry in pack.entries)
                if batch.arcs is not None:  # last: what is in the file cannot be taken back
                    ids = [entry.id for entry in pack.entries]
                    batch.arcs.write(self._arcs, ids, self.model.tokens.n_prefix)
        except (MemoryError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                return out_of_memory(error)
            if self.model.packs or not _OUT_OF_RANGE.search(str(error)):
                raise
            return (
                f"{self.model.name} cannot take {pack.n_tokens} tokens ({error}): more than it has "
                "positions for, it seems; cut proteins with max_length (--max-length)"
            )
        finally:
            self._batch = None  # its memory is needed for the next one
        self._tokens += pack.n_tokens
        return None

    def _forward(self, pack: Pack, room: int | None) -> BatchStatistics:
        device = self.model.device
        arcs = None
        if self._arcs is not None:
            if room is None:
                room = arc_room(self.measures, pack.n_residues, arc_lists.MAX_BYTES)
            arcs = ArcList(self.measures.layers, room, device)
        self._cu_seqlens = pack.cu_seqlens.to(device, non_blocking=True)
        self._residues = pack.residues.to(device, non_blocking=True)
        self._longest = pack.longest
        self._batch = BatchStatistics(
            self.measures,
            len(pack.entries),
            move_properties(pack.properties, device),
            device,
            arcs=arcs,
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
        if last:
            raise StopForward
        return output[None]  # [1, T, H, D]

    def _remark(self, remark: Remark) -> None:
        self._remarks.append(remark)
        if isinstance(remark.what, SetAside):
            self._set_aside += 1
            logger.info("%s %s: %s", remark.what.status, remark.what.id, remark.what.reason)

    def _report(self, source: ProteinSource) -> None:
        if self._progress is not None:
            done = self.result.analysed + self._set_aside
            total = self.planner.total or operator.length_hint(source, 0) or None
            self._progress(done, self._tokens, total if total is None else max(total, done))
