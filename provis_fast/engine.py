"""Analyse a corpus: plan packs, run the model over them, add up what the kernels count.

Two threads share the work. One reads proteins and prepares packs (`provis_fast.plan`); the other,
the caller's, runs the model, whose attention is computed by our kernels, and adds each finished
pack to the result. A forward pass ends with the scores of the last analysed layer: its output, and
all that would come after it, is not computed.
"""

from __future__ import annotations

import logging
import operator
import platform
import re
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from provis_fast import arc_lists, versions
from provis_fast import compat as compatibility
from provis_fast.accumulate import (
    BatchStatistics,
    Measures,
    move_properties,
    packed_terms,
    uninterrupted,
)
from provis_fast.arc_lists import ArcList, ArcOverflowError, arc_file, arc_room
from provis_fast.arguments import check_integer
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import Model, activations, linear, load_model
from provis_fast.models.routing import StopForward, routed
from provis_fast.outcome import check_outcome, unknown_note
from provis_fast.plan import Entry, Pack, PackPlanner, Remark, is_out_of_memory, out_of_memory
from provis_fast.prefetch import prefetched
from provis_fast.properties import Property
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.statistics import HeadStatistics
from provis_fast.tap import Tap, attach
from provis_fast.threads import MAX_THREADS, thread_count

if TYPE_CHECKING:
    from provis_fast.arcs import ArcWriter
    from provis_fast.proteins import ProteinSource

__all__ = ["Interrupted", "Tap", "analyze", "attach"]

logger = logging.getLogger(__name__)

#: On a CPU, the activations of a layer should stay in the last-level cache: packs of 4,096 tokens
#: are slower by a third. Elsewhere it takes more tokens to fill the machine.
CPU_BATCH_TOKENS = 1536
BATCH_TOKENS = 16384

# What torch says of a position that an embedding or a buffer of positions does not have.
_OUT_OF_RANGE = re.compile(r"out of (range|bounds)|expanded size|must match", re.IGNORECASE)

#: Called with the proteins done, the tokens done, and the proteins altogether (None: not known).
ProgressCallback = Callable[[int, int, int | None], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an analysis.

    Attributes
    ----------
    partial : HeadStatistics
        Of the proteins analysed until then; `complete` is False.
    """

    def __init__(self, partial: HeadStatistics):
        super().__init__("interrupted")
        self.partial = partial


def analyze(
    model: Model | str | PathLike[str],
    proteins: ProteinSource | Iterable[Protein] | str | PathLike[str] | Sequence[Any],
    properties: str | Property | Iterable[str | Property] = ("amino_acid",),
    threshold: float | Sequence[float] = 0.3,
    *,
    layers: Sequence[int] | None = None,
    weighting: str = "arcs",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    min_arcs: int = 100,
    entropy: bool = False,
    compat: str | None = None,
    background: ProteinSource | Iterable[Protein] | str | PathLike[str] | None = None,
    threads: int | None = None,
    arcs: str | PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
) -> HeadStatistics:
    """Statistics of a model's attention over proteins, property by property and head by head.

    Parameters
    ----------
    model : Model, str or path
        From `load_model`, or what that takes.
    proteins : ProteinSource, iterable of Protein, str or path, or a sequence of them
        From `load_proteins`, or what that takes.
    properties : str, Property, or iterable of both
        Names (`provis_fast.properties.REGISTRY`) or properties of your own.
    threshold : float or sequence of float in (0, 1]
        A pair (i, j) is an arc of a head where its attention is at least this. A sequence gives the
        result's arrays a leading axis.
    layers : sequence of int, optional
        Layers to analyse, counted from 0; default all. Layers after the last one are not computed.
    weighting : {"arcs", "attention", "both"}
        Count arcs, weigh by attention, or both.
    batch_tokens : int, optional
        Tokens of one forward pass; default 1,536 on the CPU and 16,384 elsewhere. Attention may
        change in its last places with this number.
    max_length : int, optional
        Analyse the first `max_length` residues of longer proteins, and note that they were cut.
        Without it, proteins that do not fit the model's positions are skipped.
    min_arcs : int
        Proportions are undefined (NaN) for heads with fewer eligible arcs.
    entropy : bool
        Also measure the entropy of the rows of attention.
    compat : {"provis"}, optional
        Count as the original code of the paper did; see `provis_fast.compat`.
    background : as `proteins`, optional
        With `compat`: the corpus of the background. Default: the analysed proteins.
    threads : int, optional
        Threads of the model and the kernels, 1,024 at most; default `torch.get_num_threads()`.
    arcs : str or path, optional
        List every arc of the smallest threshold in this file (`provis_fast.arcs`), which appears,
        and replaces an earlier one, once the analysis is complete. Packs whose arcs take more than
        `provis_fast.arc_lists.MAX_BYTES` are run again in halves.
    progress : callable, optional
        Called after every pack with the proteins done (those set aside included), the tokens done,
        and the proteins altogether: counted, estimated from the files read so far, or None.

    Returns
    -------
    HeadStatistics
        Records that could not be analysed are listed in it (`set_aside`) with their reasons; one
        warning in the log tells how many.

    Raises
    ------
    ArgumentError
        A bad argument, by name.
    InputError
        No usable input at all: no such file, an unknown format, or every record read was skipped or
        has failed; the message has the first reasons.
    ModelError
        The model cannot be found, or is of a kind that cannot be analysed.
    Interrupted
        On Ctrl-C; carries the partial result.
    ResultError
        The file of arcs cannot be written.
    """
    if compat is not None and compat not in compatibility.MODES:
        raise ArgumentError(f"compat: expected one of {compatibility.MODES}, got {compat!r}")
    if background is not None and compat is None:
        raise ArgumentError('background: expected only with compat="provis"; leave it out')
    batch_tokens = _check_count("batch_tokens", batch_tokens)
    max_length = _check_count("max_length", max_length)
    threads = _check_count("threads", threads, MAX_THREADS)
    if not isinstance(model, Model):
        model = load_model(model)
    if batch_tokens is None:
        batch_tokens = CPU_BATCH_TOKENS if model.device.type == "cpu" else BATCH_TOKENS
    measures = Measures.checked(
        properties,
        threshold,
        layers,
        model.n_layers,
        model.n_heads,
        weighting,
        min_arcs,
        entropy,
    )
    if arcs is not None and not measures.thresholds:
        raise ArgumentError(
            'arcs: expected only with weighting="arcs" or "both", as only these know arcs; got '
            f"weighting={weighting!r}"
        )
    if compat is not None:
        if max_length not in (None, compatibility.PROVIS_RESIDUES):
            raise ArgumentError(
                f"max_length: expected None or {compatibility.PROVIS_RESIDUES} with "
                f'compat="provis", got {max_length}'
            )
        max_length = compatibility.PROVIS_RESIDUES
        found = compatibility.provis_properties(measures.properties, model.family)
        measures = measures.with_properties(found)
    source = _source(proteins)
    options: dict[str, Any] = {"max_length": max_length}
    corpus = None if background is None else _source(background)
    if corpus is not None:
        options["background"] = corpus.digests()
    planner = PackPlanner(
        model,
        measures.properties,
        batch_tokens=batch_tokens,
        max_length=max_length,
        every_pair_known=compat is not None,
    )
    result = measures.empty(
        notes=list(getattr(source, "notes", ())),
        compat=compat,
        model=model.summary(),
        inputs=source.digests(),
        options=options,
        versions=versions.current(),
        settings={
            "batch_tokens": (str(batch_tokens),),
            "device": (str(model.device),),
            "linear": (linear.library(model.device.type, model.dtype),),
        },
    )
    with thread_count(threads), arc_file(arcs) as writer:
        run = _Run(model, measures, planner, result, progress, writer)
        try:
            if corpus is not None:  # first: a corpus of no use is known before the work is done
                run.read_background(corpus)
            run.over(source)
        except KeyboardInterrupt:
            result.complete = False
            raise Interrupted(result) from None
        finally:
            run.finish()
        check_outcome(result)
    return result


class _Run:
    """One analysis under way."""

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
                self._run(item.entries, item)
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

    def _run(
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
                self._run(entries, room=overflow.total)
                return
            half = len(entries) // 2
            self._run(entries[:half])
            self._run(entries[half:])
            return
        if reason is not None and len(entries) > 1:
            for entry in entries:
                self._run([entry])
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


def _source(proteins: Any) -> ProteinSource:
    return proteins if hasattr(proteins, "records") else load_proteins(proteins)


def _check_count(name: str, value: int | None, most: int | None = None) -> int | None:
    return None if value is None else check_integer(name, value, 1, most)
