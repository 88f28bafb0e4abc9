"""The table of heads of a page: every number of the inference, small enough to be inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.reporting import wording
from provis_fast.reporting.embedding import EmbeddedTable, make_table
from provis_fast.reporting.focus import Focus, in_focus

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

#: Rows that a page holds at most: some 5 MB.
MAX_ROWS = 100_000
#: Rows there before the script, and shown at first.
STEP = 50
_EXACT = ("eligible", "count", "units", "threshold")
_TEXTS = ("property", "class", "statistic")

Rows = Sequence[dict[str, str]]


def head_table(
    result: HeadStatistics, table: pd.DataFrame, focus: Focus, file: str = "heads.csv"
) -> tuple[EmbeddedTable, int]:
    """The table of inference for the page, and how many of its rows are not in it.

    Where there are more than `MAX_ROWS`, those that the findings are about go first, heads with too
    few arcs last; the rest of a page says where all of them are.

    Parameters
    ----------
    result : HeadStatistics
    table : DataFrame
        Of `provis_fast.inference`.
    focus : Focus
    file : str
        Name of the CSV file that the page makes.
    """
    kept = _chosen(table, focus)
    left_out = len(table) - len(kept)
    values = {spec.name for spec in result.properties if spec.is_value}
    columns, texts = _columns(kept, values)
    several = kept["statistic"].nunique() > 1 or kept["threshold"].nunique(dropna=False) > 1
    specs = _specs(kept, texts, focus, several)
    first = _first_rows(in_focus(kept, focus) if several else kept, specs, values)
    shown = [spec for spec in specs if spec["group"] == ""]
    embedded = make_table(
        "heads",
        "Heads",
        _caption(result, focus),
        specs,
        columns,
        groups=_groups(kept, focus),
        sort=("enrichment", True),
        file=file,
        headings=[spec["label"] for spec in shown],
        rows=first,
        flag="is_value",
        step=STEP,
        limits=_limits(texts, focus) if several else None,
        source="heads.csv and heads.parquet of the result",
    )
    return embedded, left_out


def _chosen(table: pd.DataFrame, focus: Focus) -> pd.DataFrame:
    if len(table) <= MAX_ROWS:
        return table
    wanted = np.zeros(len(table))
    wanted[table.index.isin(in_focus(table, focus).index)] -= 4
    wanted[table["proportion"].isna().to_numpy()] += 2
    # Of equals, the surest: log q is at most 0, and undefined ones come last.
    sure = table["log_q"].fillna(1.0).to_numpy()
    first = np.lexsort((np.arange(len(table)), sure, wanted))[:MAX_ROWS]
    return table.iloc[np.sort(first)]


def _columns(
    table: pd.DataFrame, values: set[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    """Numbers by column in the table's order, and the texts that codes stand for."""
    import pandas as pd

    found: dict[str, NDArray[Any]] = {}
    texts: dict[str, list[str]] = {}
    is_value = table["property"].isin(values).to_numpy()
    for name in table.columns:
        if name in ("layer", "head"):
            found[name] = (table[name].to_numpy() + 1).astype(np.uint16)
        elif name in _TEXTS:
            codes, distinct = pd.factorize(table[name])
            found[name], texts[name] = codes.astype(np.uint16), list(map(str, distinct))
        elif table[name].isna().all() and name != "threshold":
            continue  # not part of this result
        elif name in _EXACT:
            column = table[name].to_numpy(np.float64)
            whole = column == np.rint(column)
            short = column.astype(np.float32).astype(np.float64)  # sums of values and attention
            keep = whole | (name == "threshold") | np.isnan(column)
            found[name] = np.where(keep, column, short)
        else:
            found[name] = table[name].to_numpy(np.float32)
    found["is_value"] = is_value.astype(np.uint16)
    return found, texts


def _specs(
    table: pd.DataFrame, texts: dict[str, list[str]], focus: Focus, several: bool
) -> list[dict[str, Any]]:
    """Columns to be shown, of those that hold something."""

    def spec(key: str, label: str, kind: str, group: str, title: str, **more: Any) -> dict:
        largest = "smallest" if kind in ("text", "head", "logp") else "largest"
        return {
            "key": key,
            "label": label,
            "kind": kind,
            "group": group,
            "title": title,
            "first": largest,
        } | more

    def choose(key: str, label: str, **more: Any) -> dict[str, Any]:
        return {"key": key, "how": "choose", "label": label} | more

    unit = focus.unit
    span = f"{focus.percent} interval"
    choice = "" if several else "never"  # only in the CSV file, where there is but one
    all_specs = [
        spec("name", "Head", "head", "", "Layer and head, both counted from 1",
             of=["layer", "head"], filters=[choose("layer", "Layer"), choose("head", "Head")]),
        spec("property", "Property", "text", "", "What the head is judged by",
             filters=[choose("property", "Property")]),
        spec("class", "Class", "text", "", "Class of the property",
             filters=[choose("class", "Class", within="property")]),
        spec("statistic", "Statistic", "text", choice, "Arcs counted, or attention (mass) summed",
             **({"filters": [choose("statistic", "Statistic")]} if several else {})),
        spec("threshold", "Threshold", "number", choice, "Attention that makes an arc",
             **({"filters": [choose("threshold", "Threshold")]} if several else {})),
        spec("eligible", "Eligible arcs", "integer", "",
             "Arcs on which the property is known; attention, where that is summed",
             filters=[{"key": "eligible", "how": "minimum", "label": "Eligible arcs, at least"}]),
        spec("proportion", "Share", "share", "",
             "Share of the eligible arcs in the class; for values their mean"),
        spec("interval", span, "interval", "", f"Cluster-robust interval of the share, by {unit}",
             of=["low", "high"]),
        spec("background", "Background", "share", "", "Share of all residues or pairs; mean value"),
        spec("enrichment", "Enrichment", "gain", "",
             "Share / background; for values the difference",
             filters=[{"key": "enrichment", "how": "minimum", "label": "Enrichment, at least"}]),
        spec("log_q", "q", "logp", "", f"Of the {focus.test}, Benjamini-Hochberg within a class",
             filters=[{"key": "log_q", "how": "maximum", "label": "q, at most", "log": True,
                       "placeholder": "0.05"}]),
        spec("units", f"{unit.capitalize()}s", "integer", "units",
             f"{unit.capitalize()}s with eligible arcs (G)"),
        spec("expected", "Expected", "share", "units",
             f"Share expected from each {unit}'s own background"),
        spec("excess", "Excess (points)", "points", "units", "Share minus expected share"),
        spec("excess_interval", f"{span} of the excess", "interval", "units",
             "Cluster-robust; not cut off, may pass 100 points", of=["excess_low", "excess_high"]),
        spec("t", "t", "number", "units", f"Of the {focus.test}, G - 1 degrees of freedom"),
        spec("log_p", "p", "logp", "units", f"Of the {focus.test}, two-sided"),
        spec("log_p_bonferroni", "p (Bonferroni)", "logp", "units", "Corrected within a class"),
        spec("wald", "Wald interval", "interval", "paper", "Arcs taken for independent",
             of=["wald_low", "wald_high"]),
        spec("wilson", "Wilson interval", "interval", "paper", "Arcs taken for independent",
             of=["wilson_low", "wilson_high"]),
        spec("log_odds", "Log odds ratio", "number", "paper", "Against the background"),
        spec("z", "z", "number", "paper", "Two-proportion z-test against the background"),
        spec("log_p_z", "p of z", "logp", "paper", "Two-sided; arcs taken for independent"),
        spec("log_p_z_bonferroni", "p of z (Bonferroni)", "logp", "paper",
             "Corrected within a class"),
        spec("bootstrap", "Bootstrap interval", "interval", "resampling",
             "Percentiles over replicates in which proteins count a Poisson number of times",
             of=["bootstrap_low", "bootstrap_high"]),
        spec("null_mean", "Null mean", "share", "resampling",
             "Mean share with labels shifted along each protein"),
        spec("null_sd", "Null s.d.", "share", "resampling", "Its standard deviation"),
        spec("null_z", "z against null", "number", "resampling", "(share - mean) / s.d."),
        spec("log_p_null", "p against null", "logp", "resampling", "From the permutations"),
    ]  # fmt: skip
    held = {name for name in table.columns if not table[name].isna().all()}
    kept = [one for one in all_specs if set(one.get("of", [one["key"]])) <= held | {"threshold"}]
    for one in kept:
        if one["key"] in texts:
            one["values"] = texts[one["key"]]
    return kept


def _limits(texts: dict[str, list[str]], focus: Focus) -> dict[str, dict[str, float]]:
    """What the findings are about is what the table shows at first."""
    found = {"statistic": {"choose": texts["statistic"].index(focus.statistic)}}
    if focus.threshold is not None:
        found["threshold"] = {"choose": focus.threshold}
    return found


def _groups(table: pd.DataFrame, focus: Focus) -> list[dict[str, Any]]:
    named = [
        ("units", f"{focus.test}", "t"),
        ("paper", "z-test of the paper", "z"),
        ("resampling", "bootstrap and permutations", "bootstrap_low"),
        ("resampling", "bootstrap and permutations", "null_mean"),
    ]
    found = {
        key: {"key": key, "label": label, "shown": False}
        for key, label, column in named
        if not table[column].isna().all()
    }
    return list(found.values())


def _caption(result: HeadStatistics, focus: Focus) -> str:
    least = result.min_arcs + 1 if result.compat == "provis" else max(result.min_arcs, 1)
    if focus.statistic == "mass":
        return "Heads as layer-head, both counted from 1. Shares are of a head's attention."
    return (
        "Heads as layer-head, both counted from 1. Shares are of a head's eligible arcs, those of "
        f"heads with fewer than {least:,} are left open. Intervals and q are {focus.unit}-level. A "
        "heading sorts; again, the other way."
    )


def _first_rows(
    table: pd.DataFrame, specs: Sequence[dict[str, Any]], values: set[str]
) -> list[list[str]]:
    """The first rows as text, as table.js shows them."""
    shown = [spec for spec in specs if spec["group"] == ""]
    first = table.sort_values("enrichment", ascending=False, kind="stable").head(STEP)
    rows = []
    for _, row in first.iterrows():
        is_value = row["property"] in values
        rows.append([_cell(spec, row, is_value) for spec in shown])
    return rows


def _cell(spec: dict[str, Any], row: pd.Series, is_value: bool) -> str:
    kind = spec["kind"]
    if kind == "head":
        return wording.head_name(int(row["layer"]), int(row["head"]))
    if kind == "interval":
        low, high = (row[key] for key in spec["of"])
        if np.isnan(low) or np.isnan(high):
            return ""
        text = wording.interval(low, high, is_value)
        return text if is_value else text.replace("% to", " to")
    value = row[spec["key"]]
    if kind == "text":
        return str(value)
    if np.isnan(value):
        return ""
    if kind == "integer":
        return f"{value:,.0f}"
    if kind == "share":
        return wording.amount(value, is_value)
    if kind == "gain":
        return f"{value:+.3g}" if is_value else wording.times(value).replace(" times", "×")
    return wording.p_value(value) if kind == "logp" else wording.number(value)
