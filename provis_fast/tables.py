"""Tables of a result: tidy rows of every head, and the heads that stand out."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

    from provis_fast.statistics import HeadStatistics

COLUMNS = (
    "layer",
    "head",
    "property",
    "class",
    "statistic",
    "threshold",
    "arcs",
    "eligible",
    "count",
    "proportion",
    "background",
)


class HeadBlock(NamedTuple):
    """Rows of one property under one statistic and threshold; arrays as in `HeadStatistics`.

    A result without properties has blocks of one class without a name, of which nothing is known.
    """

    property: str
    classes: tuple[str, ...]
    statistic: str  # "arcs" or "mass"
    threshold: float | None  # None for mass
    arcs: NDArray[Any]  # [layers, heads]
    eligible: NDArray[Any]  # [layers, heads]
    count: NDArray[Any]  # [layers, heads, classes]
    proportion: NDArray[np.float64]  # [layers, heads, classes]
    background: NDArray[np.float64]  # [classes]


def blocks(result: HeadStatistics) -> Iterator[HeadBlock]:
    """Every number of a result: arcs by threshold and property, then mass by property."""
    names = [(spec.name, spec.classes, spec.is_value) for spec in result.properties]
    background = result.background
    shape = (len(result.layers), result.n_heads, 1)
    nothing = (np.full(shape[:2], np.nan), *[np.full(shape, np.nan)] * 2, np.full(1, np.nan))
    for t, threshold in enumerate(result.thresholds):
        theta = () if result.scalar_threshold else t
        arcs = result.arcs[theta]
        if not names:
            yield HeadBlock("", ("",), "arcs", threshold, arcs, *nothing)
        for name, classes, is_value in names:
            count = (result.sums if is_value else result.counts)[name][theta]
            eligible, share = result.eligible[name][theta], result.proportion[name][theta]
            row = (arcs, eligible, count, share, background[name])
            yield HeadBlock(name, classes, "arcs", threshold, *row)
    if result.weighting != "arcs":
        if not names:
            yield HeadBlock("", ("",), "mass", None, result.mass, *nothing)
        for name, classes, _ in names:
            known, weighted = result.mass_known[name], result.mass_sums[name]
            row = (result.mass, known, weighted, result.mass_proportion[name], background[name])
            yield HeadBlock(name, classes, "mass", None, *row)


def column_names(result: HeadStatistics) -> tuple[str, ...]:
    """`COLUMNS`, and "entropy" where the result holds it: the mean of the head's rows, in nats."""
    return COLUMNS if result.totals["entropy"] is None else (*COLUMNS, "entropy")


def columns(result: HeadStatistics, block: HeadBlock, base: int) -> dict[str, Any]:
    """Columns of a block of `result` by name: scalars, or arrays of layers x heads x classes rows.

    Parameters
    ----------
    base : {0, 1}
        Number of the first layer and head in the table.
    """
    shape = block.count.shape
    layer, head, class_index = np.indices(shape, dtype=np.int32).reshape(3, -1)

    def each(array: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(array, shape).reshape(-1)

    named = {
        "layer": np.asarray(result.layers, dtype=np.int32)[layer] + np.int32(base),
        "head": head + np.int32(base),
        "property": block.property,
        "class": np.asarray(block.classes, dtype=object)[class_index],
        "statistic": block.statistic,
        "threshold": block.threshold,
        "arcs": each(block.arcs[..., None]),
        "eligible": each(block.eligible[..., None]),
        "count": each(block.count),
        "proportion": each(block.proportion),
        "background": each(block.background),
    }
    if result.totals["entropy"] is not None:
        named["entropy"] = each(result.entropy[..., None])
    return named


def heads_table(result: HeadStatistics, base: int = 0) -> pyarrow.Table:
    """One row per layer, head, property, class, statistic and threshold, as an Arrow table.

    Columns are those of `column_names`: int32 layer and head counted from `base`, strings, and
    float64 for the rest; threshold is null for mass.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field("layer", pa.int32()),
            pa.field("head", pa.int32()),
            pa.field("property", pa.string()),
            pa.field("class", pa.string()),
            pa.field("statistic", pa.string()),
            *(pa.field(name, pa.float64()) for name in column_names(result)[5:]),
        ]
    )
    batches = []
    for block in blocks(result):
        named = columns(result, block, base)
        n_rows = len(named["layer"])
        arrays = []
        for field in schema:
            column = named[field.name]
            if column is None or isinstance(column, (str, float)):
                column = [column] * n_rows
            elif field.type == pa.float64():
                column = column.astype(np.float64)
            arrays.append(pa.array(column, field.type))
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema).combine_chunks()


def top_heads(
    result: HeadStatistics,
    property_name: str,
    class_name: str | None = None,
    k: int = 10,
    *,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Heads that most favour a property (or a class of it) against its background.

    Ranked by proportion / background, for key values by mean - background; of equals the one with
    more eligible arcs comes first. Heads with fewer than `min_arcs` eligible arcs are left out
    (``compat="provis"``: with no more than `min_arcs`, as the original does). Where a result holds
    no arcs, attention-weighted shares are ranked instead.

    Parameters
    ----------
    property_name : str
    class_name : str, optional
        None ranks all classes together, one row per head and class.
    k : int
        Rows at most.
    threshold : float, optional
        One of `result.thresholds`; default the first.

    Returns
    -------
    DataFrame
        layer, head (0-based), class, proportion, background, excess (the number ranked by) and
        eligible (arcs, or attention).

    Raises
    ------
    ArgumentError
        A property, class or threshold that the result does not have.
    """
    import pandas as pd

    block = _block(result, property_name, threshold)
    table = pd.DataFrame(columns(result, block, base=0))
    if class_name is not None:
        if class_name not in block.classes:
            raise ArgumentError(
                f"class_name: {property_name} has {', '.join(block.classes)}; got {class_name!r}"
            )
        table = table[table["class"] == class_name]
    is_value = result.properties[result.index(property_name)].is_value
    share, background = table["proportion"], table["background"]
    table = table.assign(excess=share - background if is_value else share / background)
    if result.compat == "provis":
        table = table[table["eligible"] > result.min_arcs]
    table = table[np.isfinite(table["excess"])]
    table = table.sort_values(
        ["excess", "eligible", "layer", "head"], ascending=[False, False, True, True]
    )
    shown = ["layer", "head", "class", "proportion", "background", "excess", "eligible"]
    return table[shown].head(k).reset_index(drop=True)


def _block(result: HeadStatistics, name: str, threshold: float | None) -> HeadBlock:
    result.index(name)  # raises where there is no such property
    if threshold is None and result.thresholds:
        threshold = result.thresholds[0]
    if threshold is not None and threshold not in result.thresholds:
        has = ", ".join(map(str, result.thresholds)) or "none"
        raise ArgumentError(f"threshold: this result has {has}; got {threshold}")
    for block in blocks(result):
        if block.property == name and block.threshold == threshold:
            return block
    raise ResultError(f"{name}: not part of this result")


def headings_and_rows(result: HeadStatistics, k: int = 5) -> tuple[list[str], list[list[str]]]:
    """The heads that stand out, as text: headings, and one list of cells per row.

    Properties of up to four classes get `k` heads for every class, others `k` rows altogether.
    Layers and heads are 1-based here.
    """
    amount = "n" if result.thresholds else "attention"
    headings = ["property", "class", "head", "share", "background", "favoured", amount]
    rows = []
    unknown = result.unknown_properties
    for spec in result.properties:
        if spec.name in unknown:
            rows.append([spec.name, "", "-", "unknown in this input", "", "", ""])
            continue
        classes = spec.classes if len(spec.classes) <= 4 else (None,)
        for class_name in classes:
            best = top_heads(result, spec.name, class_name, k)
            if best.empty:
                label = "" if class_name is None or len(classes) == 1 else class_name
                index = slice(None) if class_name is None else spec.classes.index(class_name)
                absent = not spec.is_value and not result.background[spec.name][index].any()
                why = "none in this input" if absent else "too few arcs"
                rows.append([spec.name, label, "-", why, "", "", ""])
            for _, row in best.iterrows():
                label = "" if row["class"] == spec.name else row["class"]
                rows.append([spec.name, label, *_cells(row, spec.is_value)])
    return headings, rows


def _cells(row: pd.Series, is_value: bool) -> list[str]:
    head = f"{row['layer'] + 1}-{row['head'] + 1}"
    if is_value:
        numbers = [f"{row[c]:.3g}" for c in ("proportion", "background")]
        excess = f"{row['excess']:+.3g}"
    else:
        numbers = [f"{100 * row[c]:.1f}%" for c in ("proportion", "background")]
        excess = f"{row['excess']:.1f}x"
    return [head, *numbers, excess, f"{row['eligible']:,.0f}"]


def caption(result: HeadStatistics) -> str:
    """What the table of heads shows, in words."""
    if not result.thresholds:
        what = "share of the attention between residues that falls on the class"
    else:
        below = result.min_arcs + 1 if result.compat == "provis" else max(result.min_arcs, 1)
        what = (
            f"share of a head's arcs (attention >= {result.thresholds[0]:g}) that fall on the "
            f"class; n: eligible arcs, heads with fewer than {below} are left out"
        )
    return f"Heads as layer-head, both counted from 1. {what[0].upper()}{what[1:]}."


def to_text(result: HeadStatistics, k: int = 5) -> str:
    """The heads that most favour each property, as a table for a terminal."""
    headings, rows = headings_and_rows(result, k)
    return "\n".join(aligned(headings, rows))


def aligned(headings: list[str], rows: list[list[str]], left: int = 2) -> list[str]:
    """Lines of a table for a terminal: headings, a rule, rows.

    The first `left` columns begin at the left, the others end at the right.
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return [line(headings), line(["-" * width for width in widths]), *map(line, rows)]


def to_html(result: HeadStatistics, k: int = 3) -> str:
    """The same for a notebook."""
    headings, rows = headings_and_rows(result, k)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<p>{escape(repr(result)[1:-1])}</p><table><caption>{escape(caption(result))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def one_line(result: HeadStatistics) -> str:
    """Model, properties and numbers of a result, as its repr."""
    model = result.model.get("name", "unnamed model")
    what = ", ".join(spec.name for spec in result.properties) or "no property"
    thresholds = f", threshold {', '.join(f'{t:g}' for t in result.thresholds)}"
    arcs = ""
    if result.weighting != "attention":
        arcs = f", {int(result.arcs.reshape(len(result.thresholds), -1)[0].sum()):,} arcs"
    aside = "".join(
        f"; {number:,} {status}"
        for status, number in (("skipped", result.skipped), ("failed", result.failed))
        if number
    )
    return (
        f"<HeadStatistics of {model}: {len(result.layers)} layers x {result.n_heads} heads, {what}"
        f"{thresholds if result.thresholds else ''}; {result.analysed:,} proteins{arcs}"
        f"{aside}{'' if result.complete else '; INCOMPLETE'}>"
    )
