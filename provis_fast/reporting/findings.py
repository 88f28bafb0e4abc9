"""What the numbers say, in sentences, and what they do not say.

Every sentence is made from the table of `provis_fast.inference`. Claims are of the protein-level
test (or of the clusters that take the proteins' place), corrected by Benjamini & Hochberg within
a class; the z-test of the paper, which takes arcs for independent, is told where it disagrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from provis_fast.head_arrays import PropertySpec
from provis_fast.reporting import wording
from provis_fast.reporting.charts import Chart, make_chart
from provis_fast.reporting.focus import ALPHA, LOG_ALPHA, Focus, above, below, in_focus

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

#: Units below which the t-test is approximate, by its calibration (benchmarks/calibration.py).
FEW_UNITS = 50
_NEXT_CLASSES = 4
#: Replicates from which percentiles at the ends, and a standard deviation, mean something.
_ENOUGH_BOOTSTRAP, _ENOUGH_PERMUTATIONS = 100, 20


@dataclass(frozen=True)
class Finding:
    """What is said of one property.

    Attributes
    ----------
    property : str
    heading : str
    first : str
        The sentence that matters most.
    others : tuple of str
    cautions : tuple of str
        What makes the first sentence less sure.
    best : tuple of int or None
        Layer and head, from 0, that the first sentence is about.
    best_class : str or None
        And the class.
    chart : Chart or None
        The best heads at a glance.
    cells : tuple of str
        The first sentence as a row of a table: class, head, share, interval, background,
        enrichment, q; empty where it is about no head.
    """

    property: str
    heading: str
    first: str
    others: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    best_class: str | None = None
    chart: Chart | None = None
    cells: tuple[str, ...] = ()


def findings(result: HeadStatistics, table: pd.DataFrame, focus: Focus) -> list[Finding]:
    """One for every property, in the result's order."""
    unknown = result.unknown_properties
    found = []
    for spec in result.properties:
        heading = wording.title(spec.name)
        if spec.name in unknown:
            text = "Known for no residue of this input: nothing can be said about it."
            found.append(Finding(spec.name, heading, text))
            continue
        rows = in_focus(table, focus, spec.name)
        if focus.statistic == "mass":
            found.append(_of_mass(spec, heading, rows))
        else:
            found.append(_of_arcs(result, spec, heading, rows, focus))
    return found


def best_classes(found: Iterable[Finding]) -> dict[str, str]:
    """The class of each property that its first sentence is about."""
    return {one.property: one.best_class for one in found if one.best_class is not None}


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows ranked as `provis_fast.tables.top_heads` does; those without a rank left out."""
    ranked = rows[np.isfinite(rows["enrichment"])]
    by, ascending = ["enrichment", "eligible", "layer", "head"], [False, False, True, True]
    return ranked.sort_values(by, ascending=ascending)


def _name(row: pd.Series) -> str:
    return wording.head_name(int(row["layer"]), int(row["head"]))


def _of_arcs(
    result: HeadStatistics, spec: PropertySpec, heading: str, rows: pd.DataFrame, focus: Focus
) -> Finding:
    n_heads = len(result.layers) * result.n_heads
    judged = rows[rows["proportion"].notna()]
    n_judged = len(judged.drop_duplicates(["layer", "head"]))
    least = result.min_arcs + 1 if result.compat == "provis" else max(result.min_arcs, 1)
    if not n_judged:
        most = int(rows["eligible"].max())
        text = (
            f"No head has the {least:,} eligible arcs that it takes to be judged (the most is "
            f"{most:,}): nothing can be said about it. More proteins or a lower threshold give more"
            " arcs."
        )
        return Finding(spec.name, heading, text)
    higher, lower = judged[above(judged)], judged[below(judged)]
    best = _best(higher if len(higher) else judged)
    if best.empty:
        text = "None of this input's residues has it: nothing can be said about it."
        return Finding(spec.name, heading, text)
    row = best.iloc[0]
    first = _first(spec, row, focus, significant=bool(len(higher)))
    others = [
        *_next_classes(spec, best),
        *_lowest(spec, lower, focus),
        _tested(spec, judged, higher, lower, n_heads, least, focus),
        *_layers(higher),
        *_resampled(result, spec, row, focus),
    ]
    import pandas as pd

    # What the sentences are about stands first of its class, what ranks higher unsurely behind it.
    ranked = pd.concat([_best(higher), _best(judged)]) if len(spec.classes) > 1 else _best(judged)
    chart = make_chart(spec, ranked, focus.percent)
    cautions = [
        *_few_units(row, focus),
        *_unsure(spec, judged, row, focus),
        *_disagreement(judged, focus),
    ]
    return Finding(
        spec.name,
        heading,
        first,
        tuple(others),
        tuple(cautions),
        (int(row["layer"]), int(row["head"])),
        str(row["class"]),
        chart,
        _cells(spec, row, True),
    )


def _first(spec: PropertySpec, row: pd.Series, focus: Focus, significant: bool) -> str:
    words = wording.words(spec, row["class"])
    n = f"{row['eligible']:,.0f} eligible arcs"
    if row["units"] < FEW_UNITS:
        n += f" in {row['units']:,.0f} {focus.units}"
    share = wording.amount(row["proportion"], spec.is_value)
    background = wording.amount(row["background"], spec.is_value)
    span = ""
    if not math.isnan(row["low"]):
        ends = wording.interval(row["low"], row["high"], spec.is_value)
        span = f" (cluster-robust {focus.percent} interval {ends})"
    if spec.is_value:
        plain = wording.plain(spec.name)
        facts = (
            f"its {n} lead to a mean of {share}{span}, against {background} over all known residues"
        )
        if significant:
            return f"Head {_name(row)} points at residues of the highest {plain}: {facts}."
        return (
            f"No head points at residues of higher {plain} than {focus.units} vary by "
            f"themselves ({focus.test}, q < {ALPHA:g}). The highest is head {_name(row)}: {facts}."
        )
    ratio = wording.times(row["enrichment"])
    facts = f"{share} of its {n}{span} {words.arcs}, {ratio} the background of {background}"
    if significant:
        return f"Head {_name(row)} attends to {words.target} most: {facts}."
    target = words.target if len(spec.classes) == 1 else f"any class of {wording.plain(spec.name)}"
    return (
        f"No head attends to {target} more than the background and the variation between "
        f"{focus.units} explain ({focus.test}, q < {ALPHA:g}). Nearest is head {_name(row)}: "
        f"{facts}."
    )


def _next_classes(spec: PropertySpec, best: pd.DataFrame) -> list[str]:
    """The best heads of other classes."""
    if len(spec.classes) == 1:
        return []
    rest = best.drop_duplicates("class").iloc[1 : 1 + _NEXT_CLASSES]
    parts = [
        f"{wording.words(spec, row['class']).target} (head {_name(row)}: "
        f"{wording.percent(row['proportion'])}, {wording.times(row['enrichment'])} the background)"
        for _, row in rest.iterrows()
    ]
    return [f"Next come {wording.listed(parts)}."] if parts else []


def _lowest(spec: PropertySpec, lower: pd.DataFrame, focus: Focus) -> list[str]:
    """The head at the other end, of values, which have two."""
    if not spec.is_value or lower.empty:
        return []
    row = lower.loc[lower["enrichment"].idxmin()]
    ends = wording.interval(row["low"], row["high"], True)
    return [
        f"The lowest is head {_name(row)}: {row['eligible']:,.0f} eligible arcs with a mean of "
        f"{wording.number(row['proportion'])} ({focus.percent} interval {ends})."
    ]


def _tested(
    spec: PropertySpec,
    judged: pd.DataFrame,
    higher: pd.DataFrame,
    lower: pd.DataFrame,
    n_heads: int,
    least: int,
    focus: Focus,
) -> str:
    """How many heads were tested, and how many differ from the background."""
    heads = ["layer", "head"]
    n_judged = len(judged.drop_duplicates(heads))
    how = f"{focus.test}, Benjamini-Hochberg q < {ALPHA:g}"
    enough = f"{n_judged:,} of {n_heads:,} heads have at least {least:,} eligible arcs"
    if n_judged < n_heads:
        enough += f" (nothing is said of the other {n_heads - n_judged:,})"
    if len(spec.classes) == 1:
        return (
            f"{enough}; {len(higher):,} of them are above the background and {len(lower):,} below "
            f"it ({how})."
        )
    n_higher = len(higher.drop_duplicates(heads))
    by_class = higher["class"].value_counts(sort=False)
    by_class = by_class.sort_values(ascending=False, kind="stable")
    parts = [f"{wording.class_label(spec, name)}: {n:,}" for name, n in by_class.head(8).items()]
    left = len(by_class) - 8
    more = f"; and {wording.count(left, 'class', 'classes')} more" if left > 0 else ""
    text = f"{enough}; {n_higher:,} of them are above the background of at least one class ({how})"
    return f"{text}. Heads by class: {'; '.join(parts)}{more}." if parts else f"{text}."


def _layers(higher: pd.DataFrame) -> list[str]:
    """In which layers the heads above the background stand."""
    heads = higher.drop_duplicates(["layer", "head"])
    if len(heads) < 2:
        return []
    by_layer = heads.groupby("layer").size()
    parts = [f"{layer + 1} ({n})" for layer, n in by_layer.items()]
    noun = "layer" if len(parts) == 1 else "layers"
    return [f"Heads above the background stand in {noun} {wording.listed(parts)}."]


def _resampled(
    result: HeadStatistics, spec: PropertySpec, row: pd.Series, focus: Focus
) -> list[str]:
    """What the bootstrap and the permutations say of the best head, where there are any."""
    found = []
    if not math.isnan(row["bootstrap_low"]) and result.n_bootstrap < _ENOUGH_BOOTSTRAP:
        found.append(
            f"{result.n_bootstrap:,} bootstrap replicates are too few for an interval; "
            f"{_ENOUGH_BOOTSTRAP} is the least."
        )
    elif not math.isnan(row["bootstrap_low"]):
        ends = wording.interval(row["bootstrap_low"], row["bootstrap_high"], spec.is_value)
        found.append(
            f"The bootstrap over proteins ({result.n_bootstrap:,} replicates) gives head "
            f"{_name(row)} a {focus.percent} interval of {ends}."
        )
    if not math.isnan(row["null_mean"]) and result.n_permutations < _ENOUGH_PERMUTATIONS:
        found.append(
            f"{result.n_permutations:,} permutations are too few to compare with; "
            f"{_ENOUGH_PERMUTATIONS} is the least."
        )
    elif not math.isnan(row["null_mean"]):
        mean = wording.amount(row["null_mean"], spec.is_value)
        spread = wording.amount(row["null_sd"], spec.is_value)
        found.append(
            f"With the labels shifted along each protein ({result.n_permutations:,} times) it "
            f"would be {mean} (standard deviation {spread})."
        )
    return found


def _cells(spec: PropertySpec, row: pd.Series, tested: bool) -> tuple[str, ...]:
    """A head as a row of a table."""
    gain = row["enrichment"]
    cells = [
        "" if len(spec.classes) == 1 else wording.class_label(spec, str(row["class"])),
        _name(row),
        wording.amount(row["proportion"], spec.is_value),
        wording.amount(row["background"], spec.is_value),
        f"{gain:+.3g}" if spec.is_value else wording.times(gain).replace(" times", "×"),
    ]
    if tested:
        known = not math.isnan(row["low"])
        ends = wording.interval(row["low"], row["high"], spec.is_value) if known else ""
        cells.insert(3, ends)
        cells.append("" if math.isnan(row["log_q"]) else wording.p_value(row["log_q"]))
    return tuple(cells)


def _few_units(row: pd.Series, focus: Focus) -> list[str]:
    if not row["units"] < FEW_UNITS:
        return []
    return [
        f"The eligible arcs of head {_name(row)} come from {row['units']:,.0f} {focus.units}: with "
        f"fewer than {FEW_UNITS}, test and interval are approximate."
    ]


def _unsure(spec: PropertySpec, judged: pd.DataFrame, best: pd.Series, focus: Focus) -> list[str]:
    """A head with a larger share than the best one, of which the test is not sure."""
    of_class = _best(judged)  # all classes: the first sentence is about the best of them
    row = of_class.iloc[0]
    if not row["enrichment"] > best["enrichment"]:
        return []
    share = wording.amount(row["proportion"], spec.is_value)
    others = int((of_class["enrichment"] > best["enrichment"]).sum()) - 1
    more = f"; so {'is' if others == 1 else 'are'} {others:,} more" if others else ""
    sure = "untested" if math.isnan(row["log_q"]) else f"q = {wording.p_value(row['log_q'])}"
    arcs = f"{row['eligible']:,.0f} eligible arcs from {row['units']:,.0f} {focus.units}"
    share = f"{share} {'over' if spec.is_value else 'of'} {arcs}"
    where = ""
    if row["class"] != best["class"]:
        where = f" for {wording.words(spec, row['class']).target}"
    return [
        f"Head {_name(row)} ranks higher{where} ({share}) but is not significant ({sure}){more}."
    ]


def _disagreement(judged: pd.DataFrame, focus: Focus) -> list[str]:
    """Where the z-test is sure and the t-test is not, at the same correction."""
    by_arcs = judged["log_p_z_bonferroni"] < LOG_ALPHA
    by_units = judged["log_p_bonferroni"] < LOG_ALPHA
    only = int((by_arcs & ~by_units).sum())
    if not only:
        return []
    total = int(by_arcs.sum())
    if total == 1:
        verdicts = "the one significant result"
    else:
        verdicts = f"{only:,} of {total:,} significant results"
    return [
        f"Arcs of one protein are not independent: {verdicts} of the paper's z-test (Bonferroni) "
        f"{'is' if total == 1 else 'are'} not significant when {focus.units} are the units."
    ]


def _of_mass(spec: PropertySpec, heading: str, rows: pd.DataFrame) -> Finding:
    best = _best(rows)
    if best.empty:
        text = "None of this input's residues has it: nothing can be said about it."
        return Finding(spec.name, heading, text)
    row = best.iloc[0]
    words = wording.words(spec, row["class"])
    share = wording.amount(row["proportion"], spec.is_value)
    background = wording.amount(row["background"], spec.is_value)
    if spec.is_value:
        plain = wording.plain(spec.name)
        first = (
            f"Head {_name(row)} attends to residues of the highest {plain}: weighted by its "
            f"attention the mean is {share}, against {background} over all known residues."
        )
    else:
        first = (
            f"Head {_name(row)} attends to {words.target} most: {share} of its attention, "
            f"{wording.times(row['enrichment'])} the background of {background}."
        )
    caution = "Attention-weighted shares have no test here: analyse with thresholds for one."
    others = tuple(_next_classes(spec, best)) if not spec.is_value else ()
    place = int(row["layer"]), int(row["head"])
    chart = make_chart(spec, best, "")
    return Finding(
        spec.name,
        heading,
        first,
        others,
        (caution,),
        place,
        str(row["class"]),
        chart,
        _cells(spec, row, False),
    )
