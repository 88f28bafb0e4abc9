"""What stands in a report, gathered from a result."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from provis_fast import __version__
from provis_fast.errors import ResultError
from provis_fast.head_arrays import PropertySpec
from provis_fast.inference.table import infer
from provis_fast.reporting import provenance, wording
from provis_fast.reporting.embedding import EmbeddedFigure, EmbeddedTable
from provis_fast.reporting.findings import FEW_UNITS, Finding, best_classes, findings
from provis_fast.reporting.focus import Focus, above, below, focus, in_focus
from provis_fast.reporting.head_table import head_table
from provis_fast.reporting.pictures import Drawn, draw_all
from provis_fast.written_pages import is_page

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

#: Page of a 3-D view that is linked to where it stands beside the report.
VIEW = "view.html"
#: Classes in the table of a property; amino-acid pairs have 441.
_CLASSES = 40
#: Properties from which on a table of them precedes the findings.
_MANY = 5
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_TITLE_WITHIN = 4096

#: Properties that are worth seeing on a structure, before all others.
_TO_SEE = ("contact", "binding_site", "active_site", "modification", "disulfide")

Pair = tuple[str, "str | list[str]"]


@dataclass(frozen=True)
class Link:
    """A page beside the report."""

    address: str
    text: str


@dataclass(frozen=True)
class PropertySection:
    """One property: its classes, and its figures."""

    id: str
    code: int  # among the texts of the table of heads
    heading: str
    summary: str
    definition: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int
    pictures: tuple[EmbeddedFigure, ...]


@dataclass(frozen=True)
class ReportContent:
    """Everything that the template shows; texts are plain, and escaped there."""

    title: str
    lead: str
    version: str
    banner: str | None
    glance: tuple[Pair, ...]
    findings: tuple[Finding, ...]
    summary: tuple[tuple[str, ...], ...]
    summary_headings: tuple[str, ...]
    focus: Focus
    cautions: tuple[str, ...]
    overview: tuple[EmbeddedFigure, ...]
    table: EmbeddedTable
    left_out: int
    undrawn: int
    properties: tuple[PropertySection, ...]
    views: tuple[Link, ...]
    view_command: str | None
    facts: tuple[tuple[str, tuple[Pair, ...]], ...]
    aside: provenance.Aside
    notes: tuple[str, ...]
    min_arcs: int
    compat: str | None
    has_values: bool
    has_tests: bool
    n_bootstrap: int
    n_permutations: int


def gather(
    result: HeadStatistics,
    *,
    page: Path,
    per_protein: str | PathLike[str] | None,
    clusters: str | PathLike[str] | None,
    views: Sequence[Path],
    confidence: float,
) -> ReportContent:
    """The content of a report.

    Parameters
    ----------
    result : HeadStatistics
    page : Path
        Where the report will stand: links are relative to it.
    per_protein, clusters
        See `provis_fast.reporting.report`.
    views : sequence of Path
    confidence : float

    Raises
    ------
    ResultError
        A view that is not there; what `provis_fast.inference` cannot use.
    """
    links = tuple(_links(views, page))
    unit = "protein" if clusters is None and not _has_clusters(per_protein) else "cluster"
    options = {} if unit == "protein" else {"clusters": clusters, "per_protein": per_protein}
    table = infer(result, unit=unit, confidence=confidence, **options)
    about = focus(result, unit, confidence)
    found = findings(result, table, about)
    embedded, left_out = head_table(result, table, about)
    overview, pictures, undrawn = draw_all(result, about, table, best_classes(found))
    name = provenance.short_model_name(result)
    return ReportContent(
        title=f"Attention heads of {name}",
        lead=_lead(result, about),
        version=__version__,
        banner=_banner(result),
        glance=_glance(result, about, table),
        findings=tuple(found),
        summary=tuple(_summary(found)),
        summary_headings=_summary_headings(about),
        focus=about,
        cautions=(*_cautions(result, about), *table.attrs.get("notes", ())),
        overview=overview,
        table=embedded,
        left_out=left_out,
        undrawn=undrawn,
        properties=tuple(_sections(result, table, about, found, pictures)),
        views=links,
        view_command=_view_command(result, found, about),
        facts=provenance.facts(result),
        aside=provenance.set_aside(result),
        notes=tuple(provenance.notes(result)),
        min_arcs=result.min_arcs,
        compat=result.compat,
        has_values=any(spec.is_value for spec in result.properties),
        has_tests=about.statistic == "arcs",
        n_bootstrap=getattr(result, "n_bootstrap", 0),
        n_permutations=getattr(result, "n_permutations", 0),
    )


def _has_clusters(per_protein: str | PathLike[str] | None) -> bool:
    """Whether the input said which proteins belong together, and there are tables to use it."""
    if per_protein is None:
        return False
    import pyarrow.compute as pc

    from provis_fast.per_protein.reading import per_protein_dataset

    try:
        proteins = per_protein_dataset(per_protein, "proteins")
        per_protein_dataset(per_protein, "counts")
    except ResultError:
        return False
    return proteins.count_rows(filter=pc.field("cluster").is_valid()) > 0


def _lead(result: HeadStatistics, about: Focus) -> str:
    what = wording.listed([spec.name.replace("_", " ") for spec in result.properties] or ["arcs"])
    if about.threshold is None:
        how = "attention weighs every pair of residues"
    else:
        how = f"an arc is a pair of residues with attention of at least {about.threshold:g}"
    return f"{wording.count(result.analysed, 'protein')}, judged by {what}; {how}."


def _banner(result: HeadStatistics) -> str | None:
    """What stands above everything where a part of the input is missing."""
    if result.complete:
        return None
    if result.interrupted:
        return (
            f"PARTIAL RESULT. The analysis was interrupted after {result.analysed:,} proteins; the "
            "rest of the input is in none of these numbers."
        )
    held = "some shards"
    if result.shard is not None:
        held = f"shard {wording.ranges(result.shard.parts)} of {result.shard.of}"
    return f"PARTIAL RESULT. It holds {held} of the input; the rest is in none of these numbers."


def _glance(result: HeadStatistics, about: Focus, table: pd.DataFrame) -> tuple[Pair, ...]:
    heads = f"{len(result.layers):,} × {result.n_heads:,}"
    found: list[Pair] = [
        ("proteins analysed", f"{result.analysed:,}"),
        ("residues", f"{result.residues:,}"),
        ("layers × heads", heads),
    ]
    if about.statistic == "arcs":
        arcs = result.arcs
        if not result.scalar_threshold:
            arcs = arcs[result.thresholds.index(about.threshold)]
        found.append((f"arcs at {about.threshold:g}", f"{int(arcs.sum()):,}"))
        rows = in_focus(table, about)
        n_higher = len(rows[above(rows)].drop_duplicates(["layer", "head"]))
        found.append(("heads above a background (q < 0.05)", f"{n_higher:,}"))
    return tuple(found)


def _cautions(result: HeadStatistics, about: Focus) -> list[str]:
    """What holds for every finding."""
    found = [
        "Attention is not explanation. That a head attends to contacts, say, tells where its "
        "weights go; it does not tell that the model uses them, nor what for.",
        "Enrichment compares with what is usual in these proteins. A property that goes together "
        "with another (cysteines with disulfides, helices with short distances) is not told "
        "apart from it.",
    ]
    if about.statistic != "arcs":
        return found
    if about.unit == "protein":
        found.append(
            "Pairs within a protein are not independent, so the tests and intervals here take "
            "proteins as the units. Similar proteins are not independent either: with "
            "--clusters FILE clusters of them are."
        )
    else:
        found.append(
            "Pairs within a protein are not independent, nor are similar proteins: the tests and "
            "intervals here take clusters of proteins as the units."
        )
    if result.analysed < FEW_UNITS:
        found.append(
            f"There are only {result.analysed:,} proteins. With fewer than {FEW_UNITS} the "
            "tests are approximate: take q-values near 0.05 for hints."
        )
    found.append(
        "The heads named here were picked as the best of many, by the same proteins that give "
        "their shares: the share of a picked head is likely to be somewhat smaller in other "
        "proteins, and its interval does not allow for the picking."
    )
    found.append(
        "Of a rare class most proteins have few arcs or none, and the t-test then finds too many "
        "heads below the background: take few heads below one for hints."
    )
    found.append(
        "Tests are corrected over the heads of one class of one property, not over all properties "
        f"({wording.count(len(result.properties), 'property', 'properties')} here)."
    )
    return found


def _sections(
    result: HeadStatistics,
    table: pd.DataFrame,
    about: Focus,
    found: Sequence[Finding],
    pictures: dict[str, Drawn],
) -> list[PropertySection]:
    sections = []
    for number, (spec, finding) in enumerate(zip(result.properties, found, strict=True)):
        rows, more = _class_rows(spec, in_focus(table, about, spec.name), about)
        best = "" if finding.best is None else f"best head {wording.head_name(*finding.best)}"
        kind = "a value" if spec.is_value else wording.count(len(spec.classes), "class", "classes")
        sections.append(
            PropertySection(
                f"property-{number + 1}",
                number,
                finding.heading,
                ", ".join(filter(None, [kind, best])),
                wording.definition(spec),
                _class_headings(about),
                tuple(rows),
                more,
                pictures.get(spec.name, ()),
            )
        )
    return sections


def _summary(found: Sequence[Finding]) -> list[tuple[str, ...]]:
    """A row for each property; none where there are few enough to be read one by one."""
    told = [finding for finding in found if finding.cells]
    if len(told) < _MANY:
        return []
    return [(finding.heading, *finding.cells) for finding in told]


def _summary_headings(about: Focus) -> tuple[str, ...]:
    common = ("Property", "Class", "Best head", "Share")
    if about.statistic == "mass":
        return (*common, "Background", "Enrichment")
    return (*common, f"{about.percent} interval", "Background", "Enrichment", "q")


def _class_headings(about: Focus) -> tuple[str, ...]:
    common = ("Class", "Background", "Heads judged")
    if about.statistic == "mass":
        return (*common, "Best head", "Share", "Enrichment")
    tested = ("Above", "Below", "Best head", "Share")
    return (*common, *tested, f"{about.percent} interval", "Enrichment", "q")


def _class_rows(
    spec: PropertySpec, rows: pd.DataFrame, about: Focus
) -> tuple[list[tuple[str, ...]], int]:
    """One row for each class, those with most heads above the background first."""
    found = []
    for place, (name, of_class) in enumerate(rows.groupby("class", sort=False)):
        judged = of_class[of_class["proportion"].notna()]
        n_above = int(above(judged).sum())
        background = wording.amount(of_class["background"].iloc[0], spec.is_value)
        cells = [wording.class_label(spec, name), background, f"{len(judged):,}"]
        tested = about.statistic == "arcs"
        if tested:
            cells += [f"{n_above:,}", f"{int(below(judged).sum()):,}"]
        ranked = judged[judged["enrichment"].notna()]
        if ranked.empty:
            cells += [""] * (5 if tested else 3)
        else:
            row = ranked.loc[ranked["enrichment"].idxmax()]
            gain = row["enrichment"]
            gain = f"{gain:+.3g}" if spec.is_value else wording.times(gain).replace(" times", "×")
            head = wording.head_name(int(row["layer"]), int(row["head"]))
            cells += [head, wording.amount(row["proportion"], spec.is_value)]
            if tested:
                known = row["low"] == row["low"]
                low, high = row["low"], row["high"]
                cells.append(wording.interval(low, high, spec.is_value) if known else "")
            cells.append(gain)
            if tested:
                sure = row["log_q"] == row["log_q"]
                cells.append(wording.p_value(row["log_q"]) if sure else "")
        found.append((-n_above if len(rows) > _CLASSES else 0, place, tuple(cells)))
    if len(found) > _CLASSES:
        found.sort()
    return [cells for *_, cells in found[:_CLASSES]], max(0, len(found) - _CLASSES)


def _links(views: Sequence[Path], page: Path) -> list[Link]:
    """Links to pages, relative to the report."""
    beside = page.parent / VIEW
    known = [Path(os.path.realpath(view)) for view in views]
    if is_page(beside) and beside not in known:
        known.append(beside)
    found = []
    for view in known:
        try:
            with open(view, "rb") as stream:
                beginning = stream.read(_TITLE_WITHIN).decode("utf-8", "replace")
        except OSError as error:
            raise ResultError(
                f"views: {view} cannot be read ({error.strerror}); make it with provis-fast view, "
                "or leave it out"
            ) from error
        title = _TITLE.search(beginning)
        text = unescape(title[1]).strip() if title else ""
        address = quote(os.fsencode(os.path.relpath(view, page.parent)))
        found.append(Link(address, text or view.name))
    return found


def _view_command(result: HeadStatistics, found: Sequence[Finding], about: Focus) -> str | None:
    """How to see the head that stands out on a structure."""
    ranked = sorted(
        (finding for finding in found if finding.best is not None),
        key=lambda finding: (*_TO_SEE, finding.property).index(finding.property),
    )
    if not ranked or "name" not in result.model:
        return None
    layer, head = ranked[0].best or (0, 0)
    parts = ["provis-fast", "view", "STRUCTURE.cif", "--model", str(result.model["name"])]
    parts += ["--layer", str(layer + 1), "--head", str(head + 1)]
    if about.threshold is not None:
        parts += ["--threshold", f"{about.threshold:g}"]
    return shlex.join([*parts, "-o", VIEW])
