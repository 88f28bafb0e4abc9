"""The page that compares two results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast import __version__
from provis_fast.inference.comparison import compare
from provis_fast.inference.comparison_ground import Ground, Part, common_ground
from provis_fast.per_protein import folders
from provis_fast.reporting import (
    comparison_figures,
    comparison_findings,
    comparison_profiles,
    provenance,
    wording,
)
from provis_fast.reporting.citation import BIBTEX, CITATIONS
from provis_fast.reporting.comparison_sections import Section, class_table, side_by_side
from provis_fast.reporting.comparison_table import difference_table
from provis_fast.reporting.embedding import (
    EmbeddedFigure,
    EmbeddedTable,
    embed_figure,
    environment,
    own_text,
)
from provis_fast.reporting.findings import FEW_UNITS, Finding
from provis_fast.reporting.focus import PAPERS_THRESHOLD
from provis_fast.written_pages import write_page

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.head_arrays import PropertySpec
    from provis_fast.statistics import HeadStatistics

#: Proteins x heads x classes up to which tables of single proteins are read unasked.
_MOST_NUMBERS = 1 << 25
_LOG_ALPHA = np.log(0.05)

Folder = str | PathLike[str]
Pair = tuple[str, "str | list[str]"]


@dataclass(frozen=True)
class ComparisonContent:
    """Everything that the template shows; texts are plain, and escaped there."""

    title: str
    lead: str
    banner: str | None
    labels: tuple[str, str]
    glance: tuple[Pair, ...]
    reason: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    sides: tuple[tuple[str, ...], ...]
    differences: tuple[tuple[str, ...], ...]
    left_out: tuple[tuple[str, str], ...]
    sharing: tuple[str, ...]
    table: EmbeddedTable
    rows_left_out: int
    sections: tuple[Section, ...]
    matched: bool
    percent: str
    unit: str
    covariances: tuple[str, ...]
    min_arcs: int
    has_arcs: bool
    has_bootstrap: bool


def write_comparison(
    a: HeadStatistics,
    b: HeadStatistics,
    out: Folder,
    *,
    places: Sequence[Folder | None] = (None, None),
    properties: str | Iterable[str] | None = None,
    per_protein: Sequence[Folder | None] = (None, None),
    clusters: Mapping[str, Any] | Folder | None = None,
    matched: bool | None = None,
    confidence: float = 0.95,
    allow_partial: bool = False,
) -> Path:
    """Write the page that compares two results.

    Parameters
    ----------
    a, b : HeadStatistics
    out : str or path
    places : pair of str or path, optional
        Folders of the results. They name A and B, and their tables of single proteins are used if
        both have some of moderate size.
    properties, per_protein, clusters, matched, confidence, allow_partial
        See `provis_fast.compare`; with `clusters` the unit is the cluster.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ArgumentError, ResultError
        As `provis_fast.compare`; the page cannot be written.
    """
    ground = common_ground(a, b, properties, matched=matched, allow_partial=allow_partial)
    unit = "protein" if clusters is None else "cluster"
    if None in per_protein:
        per_protein = _tables(ground, (a, b), places, unit, per_protein)
    table = compare(
        a,
        b,
        properties,
        confidence=confidence,
        unit=unit,
        per_protein=per_protein,
        clusters=clusters,
        matched=matched,
        allow_partial=allow_partial,
    )
    content = gather(a, b, ground, table, _labels(a, b, places))
    write_page(render(content), Path(out))
    return Path(out)


def render(content: ComparisonContent) -> str:
    """The HTML text; the same content gives the same text."""
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            content=content,
            title=content.title,
            version=__version__,
            css=own_text("report.css"),
            scripts=own_text("table_numbers.js", "table.js", "report.js"),
            citations=CITATIONS,
            bibtex=BIBTEX,
            few=FEW_UNITS,
        )
    )


def gather(
    a: HeadStatistics,
    b: HeadStatistics,
    ground: Ground,
    table: pd.DataFrame,
    labels: tuple[str, str],
) -> ComparisonContent:
    """The content of the page.

    Parameters
    ----------
    a, b : HeadStatistics
    ground : Ground
        What they have in common.
    table : DataFrame
        Of `provis_fast.compare`.
    labels : tuple of str
        What A and B are called.
    """
    confidence = table.attrs["confidence"]
    focus = _focus(ground.parts)
    rows = _in_focus(table, focus)
    values = {spec.name for spec in ground.properties if spec.is_value}
    embedded, rows_left_out = difference_table(table, values, confidence, len(ground.parts) > 1)
    say = comparison_findings.of_heads if ground.matched else comparison_findings.of_models
    found, sections = [], []
    for number, spec in enumerate(ground.properties):
        of_property = rows[rows["property"] == spec.name]
        found.append(say(spec, of_property, confidence))
        sections.append(
            Section(
                f"property-{number + 1}",
                number,
                found[-1].heading,
                wording.definition(spec),
                *class_table(spec, of_property, f"{100 * confidence:g}%", ground.matched),
                _figures(spec, of_property, (a, b), focus, ground, labels),
            )
        )
    return ComparisonContent(
        title=f"{labels[0]} and {labels[1]} compared",
        lead=_lead(a, b, labels, focus),
        banner=_banner(a, b),
        labels=labels,
        glance=tuple(_glance(ground, rows)),
        reason=ground.reason.replace(" x ", " × "),
        findings=tuple(found),
        cautions=tuple(_cautions(ground, table, focus)),
        sides=side_by_side(a, b, labels),
        differences=tuple(tuple(each) for each in ground.differences),
        left_out=tuple(ground.left_out.items()),
        sharing=(_sharing(ground), *table.attrs["notes"]),
        table=embedded,
        rows_left_out=rows_left_out,
        sections=tuple(sections),
        matched=ground.matched,
        percent=f"{100 * confidence:g}%",
        unit=table.attrs["unit"],
        covariances=tuple(sorted(set(table["covariance"]) - {""})),
        min_arcs=ground.min_arcs,
        has_arcs=any(part.statistic == "arcs" for part in ground.parts),
        has_bootstrap=bool(table["bootstrap_low"].notna().any()),
    )


def _tables(
    ground: Ground,
    results: tuple[HeadStatistics, HeadStatistics],
    places: Sequence[Folder | None],
    unit: str,
    given: Sequence[Folder | None],
) -> tuple[Folder | None, Folder | None]:
    """Folders with counts of single proteins, if both results have them."""
    found: list[Folder | None] = []
    most = max(len(spec.classes) for spec in ground.properties)
    for result, place, folder in zip(results, places, given, strict=True):
        if folder is None and place is not None:
            tables = Path(place) / folders.NAME
            numbers = result.analysed * len(result.layers) * result.n_heads * most
            moderate = unit == "cluster" or numbers <= _MOST_NUMBERS
            if moderate and tables.is_dir() and "counts" in folders.tables(tables):
                folder = tables
        found.append(folder)
    return (None, None) if None in found else (found[0], found[1])


def _labels(
    a: HeadStatistics, b: HeadStatistics, places: Sequence[Folder | None]
) -> tuple[str, str]:
    """Models' names where these differ, else those of the folders."""
    models = [provenance.short_model_name(result) for result in (a, b)]
    if models[0] != models[1]:
        return models[0], models[1]
    names = [None if place is None else Path(place).resolve().name for place in places]
    if None in names or names[0] == names[1]:
        return "A", "B"
    return str(names[0]), str(names[1])


def _focus(parts: Sequence[Part]) -> Part:
    """What findings and figures are about: arcs at the paper's threshold, else what comes first."""
    return next((part for part in parts if part.threshold == PAPERS_THRESHOLD), parts[0])


def _in_focus(table: pd.DataFrame, focus: Part) -> pd.DataFrame:
    kept = table["statistic"] == focus.statistic
    if focus.threshold is not None:
        kept &= table["threshold"] == focus.threshold
    return table[kept]


def _lead(a: HeadStatistics, b: HeadStatistics, labels: tuple[str, str], focus: Part) -> str:
    sides = [
        f"{which}: {label}, {provenance.short_model_name(result)} on "
        f"{wording.count(result.analysed, 'protein')}"
        if label != provenance.short_model_name(result)
        else f"{which}: {label} on {wording.count(result.analysed, 'protein')}"
        for which, label, result in zip("AB", labels, (a, b), strict=True)
    ]
    how = (
        "attention weighs every pair of residues"
        if focus.threshold is None
        else f"an arc is a pair of residues with attention of at least {focus.threshold:g}"
    )
    return f"{sides[0]}. {sides[1]}. Differences are B minus A; {how}."


def _banner(a: HeadStatistics, b: HeadStatistics) -> str | None:
    which = [name for name, result in (("A", a), ("B", b)) if not result.complete]
    if not which:
        return None
    verb = "is" if len(which) == 1 else "are"
    return (
        f"PARTIAL RESULT. {' and '.join(which)} {verb} incomplete: the rest of the input is in "
        "none of these numbers."
    )


def _glance(ground: Ground, rows: pd.DataFrame) -> Iterable[Pair]:
    yield "proteins in A", f"{ground.proteins_a:,}"
    yield "proteins in B", f"{ground.proteins_b:,}"
    shared = ground.shared_proteins
    yield "proteins in both", "unknown" if shared is None else f"{shared:,}"
    yield "properties compared", f"{len(ground.properties):,}"
    if ground.matched:
        judged = rows[rows["difference"].notna()].drop_duplicates(["layer", "head"])
        sure = rows[rows["log_q"] < _LOG_ALPHA].drop_duplicates(["layer", "head"])
        yield "heads judged", f"{len(judged):,}"
        yield "heads that differ (q < 0.05)", f"{len(sure):,}"


def _sharing(ground: Ground) -> str:
    a, b, shared = ground.proteins_a, ground.proteins_b, ground.shared_proteins
    if shared is None:
        return "Whether proteins are in both results is not known."
    if ground.overlap == "none":
        return f"No protein is in both results, of {a:,} in A and {b:,} in B (by id and sequence)."
    if ground.overlap == "all":
        return f"The same {shared:,} proteins are in both results (by id and sequence)."
    return (
        f"{shared:,} proteins are in both results (by id and sequence), of {a:,} in A and {b:,} in "
        "B."
    )


def _cautions(ground: Ground, table: pd.DataFrame, focus: Part) -> Iterable[str]:
    yield (
        "Attention is not explanation. That heads attend to other things tells where their weights "
        "go, not what the model uses them for."
    )
    if ground.overlap != "all":
        yield (
            "The two corpora do not hold the same proteins. A difference may come from the "
            "proteins; the excess takes off what their composition does, and nothing else."
        )
    unit = table.attrs["unit"]
    if focus.statistic == "mass" and "estimated" not in set(table["covariance"]):
        yield "Intervals of attention-weighted numbers need counts of single proteins."
    elif unit == "protein":
        yield (
            "Proteins are the units of tests and intervals. Similar proteins are not independent; "
            "with --clusters FILE clusters of them are the units."
        )
    few = min(ground.proteins_a, ground.proteins_b)
    if few < FEW_UNITS:
        yield (
            f"There are only {few:,} proteins in one of them. With fewer than {FEW_UNITS} tests "
            "are approximate: take q-values near 0.05 for hints."
        )


def _figures(
    spec: PropertySpec,
    rows: pd.DataFrame,
    results: tuple[HeadStatistics, HeadStatistics],
    focus: Part,
    ground: Ground,
    labels: tuple[str, str],
) -> tuple[EmbeddedFigure, ...]:
    from provis_fast.figures import caption

    if ground.matched:
        if rows["difference"].isna().all():
            return ()
        made = [
            comparison_figures.scatter(spec, rows, labels, focus.statistic),
            comparison_figures.difference_maps(spec, rows),
        ]
    else:
        sides = tuple(
            comparison_profiles.model_heads(result, spec, focus, ground.min_arcs, label)
            for result, label in zip(results, labels, strict=True)
        )
        if any(np.isnan(side.proportion).all() for side in sides):
            return ()
        chosen = comparison_profiles.classes_with_most_excess(spec, rows)
        made = [comparison_profiles.profiles(spec, sides, chosen, focus.statistic)]
    embedded = []
    for figure in made:
        text = caption(figure)
        embedded.append(embed_figure(figure, f"Figure: {text.partition('. ')[0]}.", text))
    return tuple(embedded)
