"""What a comparison says, in sentences made from its table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from provis_fast.reporting import wording
from provis_fast.reporting.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.head_arrays import PropertySpec

_LOG_ALPHA = math.log(0.05)


def points(value: float, is_value: bool, sign: bool = True) -> str:
    """A difference of shares in percentage points, or of values."""
    if math.isnan(value):
        return "unknown"
    plus = "+" if sign else ""
    if is_value:
        return f"{value:{plus}.3g}"
    size = abs(100 * value)
    return f"{100 * value:{plus}.{2 if 0 < size < 0.95 else 1}f} points"


def span(low: float, high: float, is_value: bool) -> str:
    """Two ends of an interval of a difference."""
    if is_value:
        return f"{low:+.3g} to {high:+.3g}"
    return f"{points(low, False).removesuffix(' points')} to {points(high, False)}"


def of_heads(spec: PropertySpec, rows: pd.DataFrame, confidence: float) -> Finding:
    """Where heads correspond: how many differ, and the largest difference.

    Parameters
    ----------
    spec : PropertySpec
    rows : DataFrame
        Of `provis_fast.compare`, of this property under one statistic and threshold.
    confidence : float
    """
    heading = wording.title(spec.name)
    judged = rows[rows["difference"].notna()]
    if judged.empty:
        return Finding(spec.name, heading, "No head has enough eligible arcs in both results.")
    tested = judged[judged["log_q"].notna()]
    unit = "head" if len(spec.classes) == 1 else "pair of head and class"
    units = "heads" if len(spec.classes) == 1 else "pairs of head and class"
    sure = tested[tested["log_q"] < _LOG_ALPHA]
    if tested.empty:
        row = judged.loc[judged["difference"].abs().idxmax()]
        first = f"No difference could be tested. The largest: {_difference(spec, row, confidence)}"
        return Finding(spec.name, heading, first)
    n_more, n_less = int((sure["difference"] > 0).sum()), int((sure["difference"] < 0).sum())
    if sure.empty:
        first = (
            f"No difference is significant (q < 0.05), of "
            f"{wording.count(len(tested), unit, units)} tested."
        )
        row = tested.loc[tested["log_p"].idxmin()]
        others = [f"The smallest p-value: {_difference(spec, row, confidence)}"]
    else:
        row = sure.loc[sure["difference"].abs().idxmax()]
        first = f"The largest significant difference: {_difference(spec, row, confidence)}"
        verb = "differs" if len(sure) == 1 else "differ"
        others = [
            f"Of {wording.count(len(tested), unit, units)} tested, {len(sure):,} {verb} (q < 0.05)"
            f": {n_more:,} with more in B, {n_less:,} with less."
        ]
    excess = tested[tested["excess_log_q"] < _LOG_ALPHA]
    if tested["excess_log_q"].notna().any():
        others.append(_of_excess(sure, excess))
    return Finding(spec.name, heading, first, tuple(others), tuple(_of_background(spec, rows)))


def _of_excess(sure: pd.DataFrame, excess: pd.DataFrame) -> str:
    """How many differ in their excess, and how many of these in their share as well."""
    if excess.empty:
        return "With every protein's own background taken off, none differs."
    verb = "differs" if len(excess) == 1 else "differ"
    text = f"With every protein's own background taken off, {len(excess):,} {verb}"
    if sure.empty:
        return f"{text}."
    both = int((sure["excess_log_q"] < _LOG_ALPHA).sum())
    return f"{text}, {both:,} of them among those above."


def _difference(spec: PropertySpec, row: pd.Series, confidence: float) -> str:
    spoken = wording.words(spec, str(row["class"]))
    what = f"of head {wording.head_name(int(row['layer']), int(row['head']))}"
    a, b = (wording.amount(row[f"proportion_{side}"], spec.is_value) for side in "ab")
    if spec.is_value:
        text = f"{what}, the mean value over its arcs is {a} in A and {b} in B"
    else:
        text = f"{what}, {a} of the arcs {spoken.arcs} in A, and {b} in B"
    change = points(row["difference"], spec.is_value)
    if not math.isnan(row["low"]):
        ends = span(row["low"], row["high"], spec.is_value)
        q = f"q = {wording.p_value(row['log_q'])}"
        change += f"; {100 * confidence:g}% interval {ends}; {q}"
    text = f"{text} ({change})."
    if not math.isnan(row["excess_difference"]):
        of = [points(row[f"excess_{side}"], spec.is_value) for side in "ab"]
        text += f" Its excess over the background is {of[0]} in A and {of[1]} in B."
    return text


def _of_background(spec: PropertySpec, rows: pd.DataFrame) -> list[str]:
    """A caution where the backgrounds of both corpora are far apart."""
    if spec.is_value:
        return []
    each = rows.drop_duplicates("class")
    a, b = each["background_a"].to_numpy(), each["background_b"].to_numpy()
    far = [
        (abs(math.log(y / x)), name, x, y)
        for name, x, y in zip(each["class"], a, b, strict=True)
        if x > 0 and y > 0 and abs(math.log(y / x)) > math.log(1.25)
    ]
    if not far:
        return []
    _, name, x, y = max(far)
    named = f", of {wording.words(spec, name).target}" if len(spec.classes) > 1 else ""
    return [
        f"Backgrounds differ: {wording.percent(x)} in A and {wording.percent(y)} in B{named}. The "
        "excess, not the share, tells what attention does about it."
    ]


def of_models(spec: PropertySpec, rows: pd.DataFrame, confidence: float) -> Finding:
    """Where heads do not correspond: the best heads, and what all heads do together.

    Parameters
    ----------
    spec : PropertySpec
    rows : DataFrame
        Of `provis_fast.compare` with `summary`, of this property, one statistic and threshold.
    confidence : float
    """
    heading = wording.title(spec.name)
    by_class = {name: part.set_index("summary") for name, part in rows.groupby("class")}
    gains = {
        name: part.loc["max_excess", ["a", "b"]].astype(float).abs().max()
        for name, part in by_class.items()
    }
    known = {name: gain for name, gain in gains.items() if not math.isnan(gain)}
    if not known:
        return Finding(spec.name, heading, "No head has enough eligible arcs.")
    name = max(known, key=known.get)
    part = by_class[name]
    spoken = wording.words(spec, name)
    best = part.loc["max_proportion"]
    sides = []
    for side in "ab":
        if math.isnan(best[side]):
            sides.append(f"{side.upper()} has no head with enough arcs")
            continue
        head = wording.head_name(int(best[f"layer_{side}"]), int(best[f"head_{side}"]))
        text = f"head {head} of {side.upper()} has {wording.amount(best[side], spec.is_value)}"
        low, high = best[f"{side}_low"], best[f"{side}_high"]
        if not math.isnan(low):
            text += f" ({wording.interval(low, high, spec.is_value)})"
        sides.append(text)
    of = "means" if spec.is_value else f"shares of arcs that {spoken.arcs}"
    first = f"The largest {of}: {'; '.join(sides)}."
    target = spoken.target if len(spec.classes) > 1 else ""
    others = [*_all_heads(spec, part, confidence, target), *_gravity(part, confidence, target)]
    if target:
        others.append(
            f"All this is about {target}, of which a head of either model exceeds its background "
            "most; the other classes stand in the table."
        )
    cautions = (
        "The best of many heads is best in part by luck, the more the more heads there are.",
    )
    return Finding(spec.name, heading, first, tuple(others), cautions)


def _all_heads(spec: PropertySpec, part: pd.DataFrame, confidence: float, target: str) -> list[str]:
    found = []
    of = f" of {target}" if target else ""
    above, judged = part.loc["heads_above"], part.loc["heads"]
    if not math.isnan(above["a"]) and not math.isnan(above["b"]):
        a, b = (f"{int(above[s]):,} of {int(judged[s]):,}" for s in "ab")
        found.append(f"Above the background{of} (q < 0.05) are {a} heads in A and {b} in B.")
    mean = part.loc["mean_excess"]
    if not math.isnan(mean["difference"]):
        a, b = (points(mean[s], spec.is_value) for s in "ab")
        text = f"The mean excess{of} over heads is {a} in A and {b} in B"
        if not math.isnan(mean["low"]):
            text += (
                f"; B − A {points(mean['difference'], spec.is_value)}, {100 * confidence:g}% "
                f"interval {span(mean['low'], mean['high'], spec.is_value)}"
            )
        found.append(f"{text}.")
    return found


def _gravity(part: pd.DataFrame, confidence: float, target: str) -> list[str]:
    row = part.loc["centre_of_gravity"]
    if math.isnan(row["difference"]):
        return []
    text = (
        f"The centre of gravity{f' of {target}' if target else ''} lies at {row['a']:.2f} of the "
        f"depth in A and at {row['b']:.2f} in B"
    )
    if not math.isnan(row["low"]):
        text += (
            f" (B − A {row['difference']:+.2f}, {100 * confidence:g}% interval "
            f"{row['low']:+.2f} to {row['high']:+.2f})"
        )
    return [f"{text}."]
