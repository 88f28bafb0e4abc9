"""The experiment's outcome as text: tables of at most 100 columns, layers and heads from 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from provis_fast.compat import PROVIS_RESIDUES
from provis_fast.reproduction.comparison import Comparison, HeadRow
from provis_fast.reproduction.experiment import THRESHOLD, whence
from provis_fast.reproduction.published_heads import PUBLISHED_PROTEINS
from provis_fast.tables import aligned

if TYPE_CHECKING:
    from provis_fast.reproduction.experiment import DataSetOutcome, Reproduction

_NOTHING = "-"
_CAPTION = (
    "Heads as layer-head, both counted from 1. ours: share of the head's n arcs that fall on the",
    "property, of heads with more than 100 arcs. error: two standard errors of both draws, with",
    "the protein as the unit (the paper's taken to vary as ours), and what cannot be read off the",
    "published figure; by chance alone one difference in twenty is larger.",
)


def to_text(outcome: Reproduction) -> str:
    """All of it: data, each property's heads, amino acids, and what is missing."""
    return "\n".join([*_head(outcome), *_properties(outcome), *_missing(outcome)])


def _head(outcome: Reproduction) -> Iterator[str]:
    yield f'"BERTology Meets Biology" with {outcome.model["name"]}'
    yield (
        'Counted as the original does (compat="provis"): arcs of attention >= '
        f"{THRESHOLD:g}, first {PROVIS_RESIDUES} residues."
    )
    yield f"{outcome.n_proteins:,} proteins of each data set, drawn with seed {outcome.seed}."
    yield ""
    rows = [_data_row(o) for o in outcome.data_sets if o.file is not None]
    yield from aligned(["file", "records", "drawn", "analysed", "residues"], rows, left=1)
    yield ""
    for o in outcome.data_sets:
        yield from _data_notes(o)
    yield from (f"note: {note}" for note in outcome.notes)
    if not outcome.complete:
        yield "INCOMPLETE: it was interrupted; the numbers are those of the proteins analysed."
    if outcome.published is not None:
        yield (
            f"Compared with {outcome.published.title} as published. The original's draw cannot be "
            "repeated (it depended on"
        )
        yield "how the model was built), so numbers are compared within sampling error."


def _data_row(o: DataSetOutcome) -> list[str]:
    numbers = (0, 0) if o.result is None else (o.result.analysed, o.result.residues)
    cells = [f"{number:,}" for number in (o.records, o.drawn, *numbers)]
    return [o.file.name, *cells]


def _data_notes(o: DataSetOutcome) -> Iterator[str]:
    if o.file is None or o.result is None:
        return
    if not o.file.is_papers:
        papers = f"{o.data_set.stem}_{o.data_set.splits[0]}.lmdb"
        yield f"note: {o.data_set.name}: the paper used {papers}, this is {o.file.name}"
    if o.drawn < PUBLISHED_PROTEINS:
        drew = min(o.n_population or PUBLISHED_PROTEINS, PUBLISHED_PROTEINS)
        all_of_it = ", all that the file has" if o.drawn == o.records else ""
        yield f"note: {o.data_set.name}: {o.drawn:,} proteins{all_of_it}; the paper drew {drew:,}"
    if aside := len(o.result.set_aside):
        yield (
            f"note: {o.data_set.name}: {aside:,} of the drawn proteins were not analysed; the "
            "reasons are in manifest.json"
        )


def _properties(outcome: Reproduction) -> Iterator[str]:
    for name, comparisons in outcome.comparisons.items():
        if name == "amino_acid":
            yield from _amino_acids(outcome)
            continue
        for comparison in comparisons:
            yield from _comparison(comparison)
    if outcome.comparisons:
        yield ""
        yield from _CAPTION


def _comparison(comparison: Comparison) -> Iterator[str]:
    published = math.isfinite(comparison.published_background)
    yield ""
    title = comparison.property
    if comparison.class_name != comparison.property:
        title += f": {comparison.class_name}"
    background = f"background {_percent(comparison.background)}"
    if published:
        background += f", published {_percent(comparison.published_background)}"
    yield f"{title} ({background})"
    if not comparison.rows:
        yield "  no head has more than 100 arcs"
        return
    if not published:
        yield "  no published numbers of this; our ten best heads:"
        rows = [
            [_name(r), _rank(r.rank), _percent(r.proportion), f"{r.arcs:,}"]
            for r in comparison.rows
        ]
        yield from aligned(["  head", "rank", "ours", "n"], rows, left=1)
        return
    headings = ["  head", "our rank", "their rank", "ours", "published", "difference", "error"]
    rows = [
        [
            _name(r),
            _rank(r.rank),
            _rank(r.published_rank),
            _percent(r.proportion),
            _percent(r.published),
            _percent(r.difference, sign=True),
            _percent(r.error),
            {True: "yes", False: "NO", None: _NOTHING}[r.within],
            f"{r.arcs:,}",
        ]
        for r in comparison.rows
    ]
    yield from aligned([*headings, "within", "n"], rows, left=1)
    yield f"  {_summary(comparison)}"


def _summary(comparison: Comparison) -> str:
    if not comparison.n_heads:
        return "no head has both a share of ours and a published one"
    together = (
        "too few or too equal to correlate"
        if math.isnan(comparison.correlation)
        else f"correlation {comparison.correlation:.3f}"
    )
    return (
        f"all {comparison.n_heads} heads that have both shares: {together}, "
        f"{comparison.n_within} of {comparison.n_told} within the error"
    )


def _amino_acids(outcome: Reproduction) -> Iterator[str]:
    similarity = outcome.similarity
    yield ""
    yield "amino_acid: similarity of attention and BLOSUM62"
    value = similarity.correlation
    ours = "undefined" if math.isnan(value) else f"{value:.3f}"
    published = similarity.published
    beside = "none published" if published is None else f"published {published:.3f}"
    if published is not None and not math.isnan(value):
        beside += f", difference {value - published:+.3f}"
    yield f"  Pearson correlation {ours} ({beside})"
    yield f"  over {similarity.n_pairs} of 190 pairs of amino acids and {similarity.n_heads} heads"
    yield "  the best head of each, with more than 100 arcs (no published numbers of these):"
    rows = [
        [
            f"  {c.class_name}",
            _name(c.rows[0]).strip(),
            _percent(c.rows[0].proportion),
            _percent(c.background),
            f"{c.rows[0].arcs:,}",
        ]
        for c in outcome.comparisons["amino_acid"]
        if c.rows
    ]
    yield from aligned(["  amino acid", "head", "ours", "background", "n"], rows, left=1)


def _missing(outcome: Reproduction) -> Iterator[str]:
    if not outcome.missing:
        return
    yield ""
    yield "NOT MEASURED:"
    for o in outcome.data_sets:
        missing = dict(o.missing())
        for reason in dict.fromkeys(missing.values()):
            names = ", ".join(name for name, why in missing.items() if why == reason)
            yield f"  {names}: {reason}"
        if missing:
            yield from whence(o)


def _name(row: HeadRow) -> str:
    return f"  {row.layer + 1}-{row.head + 1}"


def _rank(rank: int | None) -> str:
    return _NOTHING if rank is None else str(rank)


def _percent(share: float, sign: bool = False) -> str:
    return _NOTHING if math.isnan(share) else f"{100 * share:{'+' if sign else ''}.2f}%"
