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
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from provis_fast import compat as compatibility
from provis_fast import versions
from provis_fast.accumulate import BatchStatistics, Measures, move_properties
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import Model, load_model
from provis_fast.models.routing import StopForward, routed
from provis_fast.plan import Pack, PackPlanner, Remark
from provis_fast.prefetch import prefetched
from provis_fast.properties import Property
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.statistics import HeadStatistics
from provis_fast.tap import Tap, attach

if TYPE_CHECKING:
    from provis_fast.proteins import ProteinSource

__all__ = ["Interrupted", "Tap", "analyze", "attach"]

logger = logging.getLogger(__name__)

#: On a CPU, the activations of a layer should stay in the last-level cache: packs of 4,096 tokens
#: are slower by a third. Elsewhere it takes more tokens to fill the machine.
CPU_BATCH_TOKENS = 1024
BATCH_TOKENS = 16384

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
        Tokens of one forward pass; default 1,024 on the CPU and 16,384 elsewhere. Attention may
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
        Threads of the model and the kernels; default `torch.get_num_threads()`.
    progress : callable, optional
        Called after every pack with the proteins done (those set aside included), the tokens done,
        and the proteins altogether, which are None until they are known.

    Returns
    -------
    HeadStatistics
        Records that could not be analysed are listed in it with their reasons.

    Raises
    ------
    ArgumentError
        A bad argument, by name.
    InputError
        No usable input at all: no such file, an unknown format.
    ModelError
        The model cannot be found, or is of a kind that cannot be analysed.
    Interrupted
        On Ctrl-C; carries the partial result.
    """
    if compat is not None and compat not in compatibility.MODES:
        raise ArgumentError(f"compat: expected one of {compatibility.MODES}, got {compat!r}")
    if background is not None and compat is None:
        raise ArgumentError('background: expected only with compat="provis"; leave it out')
    _check_count("batch_tokens", batch_tokens, optional=True)
    _check_count("max_length", max_length, optional=True)
    _check_count("threads", threads, optional=True)
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
    if compat is not None:
        if max_length not in (None, compatibility.PROVIS_RESIDUES):
            raise ArgumentError(
                f"max_length: expected None or {compatibility.PROVIS_RESIDUES} with "
                f'compat="provis", got {max_length}'
            )
        max_length = compatibility.PROVIS_RESIDUES
        found = compatibility.provis_properties(measures.properties)
        measures = measures.with_properties(found)
    source = _source(proteins)
    planner = PackPlanner(
        model,
        measures.properties,
        batch_tokens=batch_tokens,
        max_length=max_length,
        every_pair_known=compat is not None,
    )
    result = measures.empty(
        compat=compat,
        model=_describe(model),
        inputs=source.digests(),
        options={"max_length": max_length},
        versions=versions.current(),
        settings={"batch_tokens": (str(batch_tokens),), "device": (str(model.device),)},
    )
    with _threads(threads):
        run = _Run(model, measures, planner, result, progress, operator.length_hint(source, 0))
        try:
            run.over(source.records())
            if background is not None:
                run.replace_background(_source(background))
        except KeyboardInterrupt:
            result.complete = False
            raise Interrupted(result) from None
        finally:
            run.finish()
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
        total_hint: int,
    ):
        self.model, self.measures, self.planner, self.result = model, measures, planner, result
        self._progress, self._total_hint = progress, total_hint or None
        self._remarks: list[Remark] = []
        self._tokens = self._set_aside = 0
        self._began, self._clock = datetime.now(UTC), time.perf_counter()

    def over(self, records: Iterable[Protein | SetAside]) -> None:
        """Analyse all records."""
        with (
            prefetched(self.planner(records)) as prepared,
            torch.inference_mode(),
            routed(self.model.module, self._attend),
        ):
            for item in prepared:
                if isinstance(item, Remark):
                    self._remark(item)
                    continue
                self._run(item)
                self._report()
        self._report()

    def replace_background(self, source: ProteinSource) -> None:
        """Give the result the background of a corpus of its own."""
        numerators, denominators, notes = compatibility.pooled_background(
            self.measures.properties, source.records()
        )
        compatibility.replace_background(self.result, numerators, denominators)
        self.result.options["background"] = source.digests()
        self.result.notes.extend(notes)

    def finish(self) -> None:
        """Write down what was set aside, in the order of the input, and what the run was like."""
        for remark in sorted(self._remarks, key=lambda remark: remark.number):
            if isinstance(remark.what, str):
                self.result.notes.append(remark.what)
            else:
                self.result.note(remark.what)
        self._remarks = []
        if longer := self.planner.longer_than_trained:
            self.result.note(
                f"{longer} protein(s) longer than the {self.planner.trained_residues} residues "
                "that the model was trained on; its positions have no limit, so they were analysed"
            )
        if self.result.analysed:
            for prop, known in zip(
                self.measures.properties,
                self.result.totals["background_den"].to_int64(),
                strict=True,
            ):
                if not known:
                    self.result.note(f"{prop.name}: known for no residue of any analysed protein")
        self.result.run = [
            {
                "started": self._began.isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - self._clock, 3),
                "host": platform.node(),
                "threads": torch.get_num_threads(),
                "tokens": self._tokens,
            }
        ]

    def _run(self, pack: Pack) -> None:
        """Run a pack and add it to the result; protein by protein where something is not finite."""
        batch = self._forward(pack)
        if not batch.not_finite():
            batch.add_to(self.result, *pack.background, pack.n_residues)
            self._tokens += pack.n_tokens
        elif len(pack.entries) > 1:
            for entry in pack.entries:
                self._run(self.planner.pack([entry]))
        else:
            entry = pack.entries[0]
            reason = (
                f"NaN or infinity among the attention scores of {self.model.name} in "
                f"{self.model.dtype}; expected finite numbers. Check the weights, or use float32"
            )
            self._remark(Remark(entry.number, SetAside(entry.id, "failed", reason, entry.source)))

    def _forward(self, pack: Pack) -> BatchStatistics:
        device = self.model.device
        self._pack = pack
        self._cu_seqlens, self._residues = pack.cu_seqlens.to(device), pack.residues.to(device)
        self._batch = BatchStatistics(
            self.measures,
            len(pack.entries),
            move_properties(pack.properties, device),
            device,
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
        )
        if last:
            raise StopForward
        return output[None]  # [1, T, H, D]

    def _remark(self, remark: Remark) -> None:
        self._remarks.append(remark)
        if isinstance(remark.what, SetAside):
            self._set_aside += 1
            logger.info("%s %s: %s", remark.what.status, remark.what.id, remark.what.reason)

    def _report(self) -> None:
        if self._progress is not None:
            done = self.result.analysed + self._set_aside
            self._progress(done, self._tokens, self.planner.total or self._total_hint)


def _source(proteins: Any) -> ProteinSource:
    return proteins if hasattr(proteins, "records") else load_proteins(proteins)


def _describe(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "family": model.family,
        "digest": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "layers": model.n_layers,
        "heads": model.n_heads,
    }


def _check_count(name: str, value: int | None, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{name}: expected an integer of at least 1, got {value!r}")


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Give torch, and with it the kernels, a number of threads for a while."""
    usual = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
