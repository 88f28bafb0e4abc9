"""The table of differences of a page, and its CSV."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.inference.comparison_models import SUMMARIES
from provis_fast.reporting import wording
from provis_fast.reporting.comparison_findings import points
from provis_fast.reporting.embedding import EmbeddedTable, make_table
from provis_fast.reporting.head_table import STEP

if TYPE_CHECKING:
    import pandas as pd

#: Rows that a page holds at most: some 8 MB.
MAX_ROWS = 70_000
_TEXTS = ("property", "class", "statistic", "summary", "covariance", "best_a", "best_b")
_EXACT = ("eligible_a", "eligible_b", "units_a", "units_b", "units_shared", "threshold")
#: Summaries that are shares of something, and those that are means of a property's values.
_SHARES = ("share_above",)
_OF_PROPERTY = ("mean_proportion", "mean_excess", "max_proportion", "max_excess")


def difference_table(
    table: pd.DataFrame, values: Collection[str], confidence: float, several: bool
) -> tuple[EmbeddedTable, int]:
    """The table of differences for the page, and how many of its rows are not in it.

    Parameters
    ----------
    table : DataFrame
        Of `provis_fast.compare`.
    values : collection of str
        Properties whose shares are means of values.
    confidence : float
    several : bool
        Whether there is more than one statistic and threshold.
    """
    matched = "layer" in table.columns
    kept = _chosen(table)
    left_out = len(table) - len(kept)
    if matched:
        flags = kept["property"].isin(values).to_numpy()
        specs = _head_specs(f"{100 * confidence:g}% interval")
        sort, caption = ("log_q", False), _HEAD_CAPTION
        if kept["log_q"].isna().all():
            sort = ("difference", True)
    else:
        kept = _named_heads(kept)
        flags = _plain_numbers(kept, values)
        specs = _model_specs(f"{100 * confidence:g}% interval")
        sort, caption = ("property", False), _MODEL_CAPTION
    columns, texts = _columns(kept, flags)
    held = {*columns} - {name for name in columns if _empty(columns[name])}
    specs = [
        spec
        for spec in specs
        if set(spec.get("of", [spec["key"]])) <= held
        and (several or spec["key"] not in ("statistic", "threshold"))
    ]
    for spec in specs:
        if spec["key"] in texts:
            spec["values"] = texts[spec["key"]]
    groups = [
        {"key": key, "label": label, "shown": False}
        for key, label in (("excess", "excess over the background"), ("tests", "tests"),
                           ("counts", "arcs, units, backgrounds"))
        if any(spec["group"] == key for spec in specs)
    ]  # fmt: skip
    shown = [spec for spec in specs if spec["group"] == ""]
    first = kept.sort_values(sort[0], ascending=not sort[1], kind="stable")
    rows = [
        [_cell(spec, row, bool(flag)) for spec in shown]
        for (_, row), flag in zip(
            first.head(STEP).iterrows(), flags[first.index.to_numpy()[:STEP]], strict=True
        )
    ]
    made = make_table(
        "differences",
        "Differences",
        caption,
        specs,
        columns,
        groups=groups,
        sort=sort,
        file="comparison.csv",
        headings=[spec["label"] for spec in shown],
        rows=rows,
        flag="is_value",
        step=STEP,
        source="the table of provis_fast.compare",
    )
    return made, left_out


_HEAD_CAPTION = (
    "B minus A. Heads as layer-head, both counted from 1. Differences of shares are in percentage "
    "points. q is Benjamini and Hochberg's within a class. A heading sorts; again, the other way."
)
_MODEL_CAPTION = (
    "B minus A, over all heads of each model. Heads as layer-head, both counted from 1. Intervals "
    "of the largest are those of a head named beforehand. A heading sorts; again, the other way."
)


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MAX_ROWS` rows, the surest first where some must go."""
    if len(table) <= MAX_ROWS:
        return table.reset_index(drop=True)
    key = "log_q" if "log_q" in table.columns else "log_p"
    order = np.argsort(table[key].fillna(1.0).to_numpy(), kind="stable")[:MAX_ROWS]
    return table.iloc[np.sort(order)].reset_index(drop=True)


def _empty(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "f" and bool(np.isnan(column).all())


def _named_heads(table: pd.DataFrame) -> pd.DataFrame:
    """Layer and head as one text, empty where a summary is of no single head."""
    table = table.copy()
    for side in "ab":
        heads = zip(table.pop(f"layer_{side}"), table.pop(f"head_{side}"), strict=True)
        table[f"best_{side}"] = [
            "" if np.isnan(layer) else wording.head_name(int(layer), int(head))
            for layer, head in heads
        ]
    table["summary"] = table["summary"].map(lambda name: SUMMARIES[name])
    return table


def _plain_numbers(table: pd.DataFrame, values: Collection[str]) -> NDArray[np.bool_]:
    """Rows whose numbers are no shares."""
    share = {SUMMARIES[name] for name in (*_SHARES, *_OF_PROPERTY)}
    of_property = {SUMMARIES[name] for name in _OF_PROPERTY}
    is_value = table["property"].isin(values) & table["summary"].isin(of_property)
    return (~table["summary"].isin(share) | is_value).to_numpy()


def _columns(
    table: pd.DataFrame, flags: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    import pandas as pd

    found: dict[str, NDArray[Any]] = {}
    texts: dict[str, list[str]] = {}
    for name in table.columns:
        if name in ("layer", "head"):
            found[name] = (table[name].to_numpy() + 1).astype(np.uint16)
        elif name in _TEXTS:
            codes, distinct = pd.factorize(table[name])
            found[name], texts[name] = codes.astype(np.uint16), list(map(str, distinct))
        elif name == "threshold" or not table[name].isna().all():
            exact = name in _EXACT
            found[name] = table[name].to_numpy(np.float64 if exact else np.float32)
    found["is_value"] = flags.astype(np.uint16)
    return found, texts


def _spec(key: str, label: str, kind: str, group: str, title: str, **more: Any) -> dict[str, Any]:
    first = "smallest" if kind in ("text", "head", "logp") else "largest"
    return {
        "key": key,
        "label": label,
        "kind": kind,
        "group": group,
        "title": title,
        "first": first,
    } | more


def _choose(key: str, label: str, **more: Any) -> list[dict[str, Any]]:
    return [{"key": key, "how": "choose", "label": label} | more]


def _where() -> list[dict[str, Any]]:
    return [
        _spec("property", "Property", "text", "", "What heads are judged by",
              filters=_choose("property", "Property")),
        _spec("class", "Class", "text", "", "Class of the property",
              filters=_choose("class", "Class", within="property")),
        _spec("statistic", "Statistic", "text", "", "Arcs counted, or attention (mass) summed",
              filters=_choose("statistic", "Statistic")),
        _spec("threshold", "Threshold", "number", "", "Attention that makes an arc",
              filters=_choose("threshold", "Threshold")),
    ]  # fmt: skip


def _head_specs(span: str) -> list[dict[str, Any]]:
    q = {"key": "log_q", "how": "maximum", "label": "q, at most", "log": True,
         "placeholder": "0.05"}  # fmt: skip
    excess_q = q | {"key": "excess_log_q", "label": "q of the excess, at most"}
    return [
        _spec("name", "Head", "head", "", "Layer and head, both counted from 1",
              of=["layer", "head"],
              filters=_choose("layer", "Layer") + _choose("head", "Head")),
        *_where(),
        _spec("proportion_a", "Share in A", "share", "", "Of the eligible arcs; for values a mean"),
        _spec("proportion_b", "Share in B", "share", "", "Of the eligible arcs; for values a mean"),
        _spec("difference", "B − A (points)", "points", "", "Difference of the shares"),
        _spec("interval", span, "interval", "", "Cluster-robust interval of the difference",
              of=["low", "high"]),
        _spec("log_q", "q", "logp", "", "Benjamini-Hochberg over the heads of a class",
              filters=[q]),
        _spec("excess_difference", "Excess, B − A", "points", "",
              "Difference of the excesses over the background"),
        _spec("excess_log_q", "q of the excess", "logp", "",
              "Benjamini-Hochberg over the heads of a class", filters=[excess_q]),
        _spec("excess_a", "Excess in A", "points", "excess", "Share minus expected share"),
        _spec("excess_b", "Excess in B", "points", "excess", "Share minus expected share"),
        _spec("excess_interval", f"{span} of the excess, B − A", "interval", "excess",
              "Of the difference", of=["excess_low", "excess_high"]),
        _spec("excess_t", "t of the excess", "number", "excess", "Difference / standard error"),
        _spec("excess_df", "df of the excess", "number", "excess", "Degrees of freedom"),
        _spec("excess_log_p", "p of the excess", "logp", "excess", "Two-sided"),
        _spec("expected_a", "Expected in A", "share", "excess",
              "From every protein's own background"),
        _spec("expected_b", "Expected in B", "share", "excess",
              "From every protein's own background"),
        _spec("t", "t", "number", "tests", "Difference / standard error"),
        _spec("df", "df", "number", "tests", "Degrees of freedom (Satterthwaite)"),
        _spec("log_p", "p", "logp", "tests", "Two-sided, uncorrected"),
        _spec("log_p_bonferroni", "p (Bonferroni)", "logp", "tests", "Corrected within a class"),
        _spec("bootstrap", "Bootstrap interval", "interval", "tests",
              "Percentiles of the differences of replicates",
              of=["bootstrap_low", "bootstrap_high"]),
        _spec("covariance", "Covariance", "text", "tests",
              "How proteins in both results were dealt with"),
        _spec("eligible_a", "Eligible in A", "integer", "counts", "Arcs of known property"),
        _spec("eligible_b", "Eligible in B", "integer", "counts", "Arcs of known property"),
        _spec("units_a", "Units in A", "integer", "counts", "Proteins (clusters) with such arcs"),
        _spec("units_b", "Units in B", "integer", "counts", "Proteins (clusters) with such arcs"),
        _spec("units_shared", "Units in both", "integer", "counts", "Known from single proteins"),
        _spec("background_a", "Background in A", "share", "counts", "Of all residues or pairs"),
        _spec("background_b", "Background in B", "share", "counts", "Of all residues or pairs"),
    ]  # fmt: skip


def _model_specs(span: str) -> list[dict[str, Any]]:
    return [
        *_where(),
        _spec("summary", "Over the heads", "text", "", "What is summarised",
              filters=_choose("summary", "Over the heads")),
        _spec("a", "A", "share", "", "Of model A"),
        _spec("interval_a", f"A, {span}", "interval", "", "Cluster-robust", of=["a_low", "a_high"]),
        _spec("best_a", "Head of A", "text", "", "Layer and head, both counted from 1"),
        _spec("b", "B", "share", "", "Of model B"),
        _spec("interval_b", f"B, {span}", "interval", "", "Cluster-robust", of=["b_low", "b_high"]),
        _spec("best_b", "Head of B", "text", "", "Layer and head, both counted from 1"),
        _spec("difference", "B − A", "points", "", "Difference"),
        _spec("interval", f"B − A, {span}", "interval", "", "Cluster-robust", of=["low", "high"]),
        _spec("t", "t", "number", "tests", "Difference / standard error"),
        _spec("df", "df", "number", "tests", "Degrees of freedom (Satterthwaite)"),
        _spec("log_p", "p", "logp", "tests", "Two-sided, uncorrected"),
        _spec("bootstrap", "Bootstrap interval", "interval", "tests",
              "Percentiles of the differences of replicates",
              of=["bootstrap_low", "bootstrap_high"]),
        _spec("covariance", "Covariance", "text", "tests",
              "How proteins in both results were dealt with"),
    ]  # fmt: skip


def _cell(spec: dict[str, Any], row: pd.Series, is_value: bool) -> str:
    """A cell before the script, as table.js writes it."""
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
    if kind == "share":
        return wording.amount(value, is_value)
    if kind == "points":
        return points(value, is_value).removesuffix(" points")
    return wording.p_value(value) if kind == "logp" else wording.number(value)
