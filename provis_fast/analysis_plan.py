"""The arguments of an analysis: checked, and what they name loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from provis_fast import compat as compatibility
from provis_fast import versions
from provis_fast.arguments import check_integer
from provis_fast.distributed import Workers
from provis_fast.errors import ArgumentError
from provis_fast.measures import Measures
from provis_fast.models import Model, linear, load_model
from provis_fast.plan import PackPlanner
from provis_fast.properties import Property
from provis_fast.proteins import Protein, load_proteins
from provis_fast.shards import ShardParts
from provis_fast.statistics import HeadStatistics
from provis_fast.units import WHOLE, Shard

if TYPE_CHECKING:
    from provis_fast.proteins import ProteinSource

#: On a CPU, the activations of a layer should stay in the last-level cache: packs of 4,096 tokens
#: are slower by a third. Elsewhere it takes more tokens to fill the machine.
CPU_BATCH_TOKENS = 1536
BATCH_TOKENS = 16384


def describe(
    model: Model | str | PathLike[str],
    proteins: ProteinSource | Iterable[Protein] | str | PathLike[str] | Sequence[Any],
    properties: str | Property | Iterable[str | Property] = ("amino_acid",),
    threshold: float | Sequence[float] = 0.3,
    **options: Any,
) -> HeadStatistics:
    """The result that `analyze` would begin with: everything but numbers; nothing is run.

    Parameters
    ----------
    model, proteins, properties, threshold
        As for `analyze`.
    **options
        Those of `analyze` on which the result depends: all but threads, engine, workers, arcs,
        tables of single proteins, progress, and how checkpoints are made.
    """
    return planned(model, proteins, properties, threshold, **options).result


class AnalysisPlan(NamedTuple):
    """An analysis whose arguments were found good."""

    model: Model
    source: ProteinSource
    corpus: ProteinSource | None  # of the background
    measures: Measures
    planner: PackPlanner
    result: HeadStatistics  # empty
    shard: Shard


def planned(
    model: Any,
    proteins: Any,
    properties: Any,
    threshold: Any,
    *,
    layers: Sequence[int] | None = None,
    weighting: str = "arcs",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    min_arcs: int = 100,
    entropy: bool = False,
    compat: str | None = None,
    background: Any = None,
    bootstrap: int = 0,
    permutations: int = 0,
    shard: tuple[int, int] | None = None,
    devices: str | Sequence[str] | None = None,
) -> AnalysisPlan:
    """Check the arguments of `analyze`, and load what they name."""
    if compat is not None and compat not in compatibility.MODES:
        raise ArgumentError(f"compat: expected one of {compatibility.MODES}, got {compat!r}")
    if background is not None and compat is None:
        raise ArgumentError('background: expected only with compat="provis"; leave it out')
    batch_tokens = check_count("batch_tokens", batch_tokens)
    max_length = check_count("max_length", max_length)
    share = WHOLE if shard is None else Shard.checked(shard)
    if not isinstance(model, Model):
        model = load_model(model)
    kind = Workers.checked("processes", None, devices).kind(model)
    if batch_tokens is None:
        batch_tokens = CPU_BATCH_TOKENS if kind == "cpu" else BATCH_TOKENS
    measures = Measures.checked(
        properties,
        threshold,
        layers,
        model.n_layers,
        model.n_heads,
        weighting,
        min_arcs,
        entropy,
        bootstrap,
        permutations,
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
        permutations=measures.permutations,
        most_sequences=measures.most_sequences,
    )
    result = measures.empty(
        general_notes=list(getattr(source, "notes", ())),
        compat=compat,
        model=model.summary(),
        inputs=source.digests(),
        options=options,
        versions=versions.current(),
        settings={
            "batch_tokens": (str(batch_tokens),),
            "device": (kind,),  # not which: a run may go on with others
            "linear": (linear.library(kind, model.dtype),),
            **getattr(source, "settings", {}),
        },
    )
    if share.of > 1:
        result.shard, result.complete = ShardParts(share.of, (share.index,)), False
    return AnalysisPlan(model, source, corpus, measures, planner, result, share)


def _source(proteins: Any) -> ProteinSource:
    return proteins if hasattr(proteins, "records") else load_proteins(proteins)


def check_count(name: str, value: int | None, most: int | None = None) -> int | None:
    return None if value is None else check_integer(name, value, 1, most)
