"""Curves: shares over separations along the chain, and over thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.figures import captions, style
from provis_fast.figures.best_heads import ranked
from provis_fast.figures.by_layer import mean_over_heads
from provis_fast.figures.numbers import Shares, check, phrase, sentence, shares, spell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics

Head = tuple[int, int]
_WIDTH, _HEIGHT = 2.75, 2.0  # inches of a panel
_TOP = 0.42


def separation(
    result: HeadStatistics,
    heads: Iterable[Head] | None = None,
    *,
    property_name: str | None = None,
    statistic: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """How far attention reaches along the chain: the share of each bin of ``|i - j|``.

    Beside the share its ratio to the background, since bins differ in width and in how many pairs
    fall into them.

    Parameters
    ----------
    result, statistic, threshold
        As for `heat_map`.
    heads : iterable of (layer, head), optional
        0-based, at most eight: one curve each. Default: one curve for each layer, the mean over its
        heads.
    property_name : str, optional
        A separation; default the result's first.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ResultError
        As for `heat_map`; ArgumentError for a head that was not analysed.
    """
    check(result)
    names = [spec.name for spec in result.properties if spec.kind == "separation"]
    if not names:
        has = ", ".join(spec.name for spec in result.properties) or "none"
        raise ArgumentError(
            f"separation: this result has no property of that kind, only {has}; analyse with "
            "properties=[..., 'separation']"
        )
    name = names[0] if property_name is None else property_name
    if name not in names:
        raise ArgumentError(
            f"property_name: expected a separation ({', '.join(names)}), got {property_name!r}"
        )
    numbers = shares(result, name, statistic=statistic, threshold=threshold)
    chosen = None if heads is None else _checked(numbers, heads)
    by_layer = chosen is None
    if chosen is None:
        curves = [
            np.array([mean_over_heads(numbers.shown[[k], :, c])[0][0] for c in _bins(numbers)])
            for k in range(len(numbers.layers))
        ]
    else:
        curves = [numbers.shown[numbers.layers.index(i), j] for i, j in chosen]
    labels = [spell(name).replace(" ", "") for name in numbers.spec.classes]
    right = 1.15
    with style.styled():
        gap = 0.62
        figure = style.new_figure(
            0.55 + 2 * _WIDTH + gap + right, _TOP + _HEIGHT + (0.65 if len(labels) > 10 else 0.45)
        )
        title = "by layer" if by_layer else "of heads"
        style.write(figure, 0.08, 0.07, f"Separation {title}", fontsize=style.TITLE)
        share = style.place(figure, 0.55, _TOP, _WIDTH, _HEIGHT, rulers=False)
        ratio = style.place(figure, 0.55 + _WIDTH + gap, _TOP, _WIDTH, _HEIGHT, rulers=False)
        x = np.arange(len(labels))
        looks = _layer_looks(len(curves)) if by_layer else _head_looks(len(curves))
        with np.errstate(divide="ignore", invalid="ignore"):
            for curve, look in zip(curves, looks, strict=True):
                share.plot(x, curve, **look)
                relative = curve / numbers.background
                ratio.plot(x, np.where(relative > 0, relative, np.nan), **look)
        dashes = {"color": style.INK, "linestyle": (0, (3, 2)), "linewidth": 1.0}
        (line,) = share.plot(x, numbers.background, **dashes)
        ratio.axhline(1.0, **dashes)
        share.set_ylim(0, None)
        share.set_yticks(style.round_ticks(0, share.get_ylim()[1]))
        _log_axis(ratio)
        for axes in (share, ratio):
            axes.set_xticks(x, labels, rotation=90 if len(labels) > 10 else 0)
            axes.set_xlabel("separation |i − j|, residues")
            style.open_frame(axes, "left", "bottom")
        share.set_ylabel(numbers.axis("attention"))
        ratio.set_ylabel("ratio to background")
        names_of = (
            [str(layer + 1) for layer in numbers.layers]
            if chosen is None
            else [f"{i + 1}-{j + 1}" for i, j in chosen]
        )
        where = (0.55 + 2 * _WIDTH + gap + 0.1, _TOP)
        if by_layer and len(curves) > 12:
            _layer_bar(figure, where, names_of, line)
        else:
            _legend(
                figure, where, [*share.get_lines()[: len(curves)], line],
                [*names_of, "background"], "layer" if by_layer else "layer-head",
            )  # fmt: skip
    what = "Means over the heads of each layer" if by_layer else "Heads, named layer-head"
    zeros = any((curve == 0).any() for curve in curves)
    few = sum(not np.isfinite(curve).any() for curve in curves)
    return captions.set_caption(
        figure,
        f"{what}: {captions.basis(numbers)}, in bins of the separation |i − j| of query and key "
        "along the chain; right: its ratio to the background, on a logarithmic scale.",
        "Dashed: background, the share of all pairs of residues.",
        "Bins without arcs have no ratio." if zeros else "",
        f"{captions.counted(few, 'curve')} without enough arcs." if few else "",
        captions.FROM_1,
        captions.source(result, numbers.statistic, numbers.threshold),
    )


def thresholds(
    result: HeadStatistics,
    property_name: str,
    class_name: str | None = None,
    heads: Iterable[Head] | None = None,
) -> Figure:
    """A class's share against the threshold that makes an arc, and how many arcs there are.

    Parameters
    ----------
    result, property_name, class_name
        As for `heat_map`; the result needs at least two thresholds.
    heads : iterable of (layer, head), optional
        0-based, at most eight. Default: the five that favour the class most at the first threshold.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        As for `heat_map`; fewer than two thresholds; a head that was not analysed.
    ResultError
        As for `heat_map`; no head has enough arcs.
    """
    check(result)
    if len(result.thresholds) < 2:
        has = ", ".join(f"{t:g}" for t in result.thresholds) or "none"
        raise ArgumentError(
            f"thresholds: expected a result with several, this one has {has}; analyse with "
            "threshold=(0.1, 0.3, 0.5), --threshold 0.1,0.3,0.5"
        )
    every = {
        theta: shares(result, property_name, statistic="arcs", threshold=theta)
        for theta in sorted(result.thresholds)
    }
    first = every[result.thresholds[0]]
    index = first.index(class_name)
    what = phrase(first.spec, first.spec.classes[index])
    if heads is None:
        more = result.compat == "provis"
        rows = ranked(first, index, 5, more=more, least=result.min_arcs)
        chosen = [(first.layers[i], int(j)) for i, j, _ in rows]
        if not chosen:
            raise ResultError(
                f"{what}: no head has {max(result.min_arcs, 1)} eligible arcs at the threshold "
                f"{result.thresholds[0]:g}; analyse more proteins"
            )
    else:
        chosen = _checked(first, heads)
    theta = np.array(list(every))
    background = float(first.background[index])
    with style.styled():
        title = f"{sentence(what)}, by threshold"
        width = max(0.6 + 3.2 + 1.15, style.room(title, style.TITLE) + 0.16)
        figure = style.new_figure(width, _TOP + 1.75 + 0.16 + 0.95 + 0.45)
        style.write(figure, 0.08, 0.07, title, fontsize=style.TITLE)
        share = style.place(figure, 0.6, _TOP, 3.2, 1.75, rulers=False)
        number = style.place(figure, 0.6, _TOP + 1.75 + 0.16, 3.2, 0.95, rulers=False)
        for (layer, head), look in zip(chosen, _head_looks(len(chosen)), strict=True):
            row = first.layers.index(layer)
            share.plot(theta, [every[t].shown[row, head, index] for t in every], **look)
            n = np.array([every[t].eligible[row, head] for t in every])
            number.plot(theta, np.where(n > 0, n, np.nan), **look)
        (line,) = share.plot(
            theta[[0, -1]], [background] * 2, color=style.INK, linestyle=(0, (3, 2)), linewidth=1.0
        )
        if not first.spec.is_value:
            share.set_ylim(0, None)
        share.set_yticks(style.round_ticks(*share.get_ylim()))
        share.set_ylabel(first.unit or "mean value")
        _log_axis(number)
        number.set_ylabel("eligible arcs")
        number.set_xlabel("threshold θ: least attention of an arc")
        share.set_xlim(number.get_xlim())
        for axes in (share, number):
            axes.set_xticks(theta, [f"{t:g}" if axes is number else "" for t in theta])
            style.open_frame(axes, "left", "bottom")
        _legend(
            figure, (3.9, _TOP), [*share.get_lines()[: len(chosen)], line],
            [*(f"{i + 1}-{j + 1}" for i, j in chosen), "background"], "layer-head",
        )  # fmt: skip
    how = "" if heads is not None else (f" that favour it most at θ = {result.thresholds[0]:g}")
    amount = "mean value over" if first.spec.is_value else "share, in percent, of"
    return captions.set_caption(
        figure,
        f"{sentence(what)}: the {captions.counted(len(chosen), 'head')}{how}, named layer-head. "
        f"Above: {amount} their arcs (attention ≥ θ) where the property is known; not drawn where "
        f"there are fewer than {max(result.min_arcs, 1)}. Below: number of these arcs.",
        f"Dashed: background, {first.say(background)}.",
        captions.FROM_1,
        captions.source(result),
    )


def _bins(numbers: Shares) -> range:
    return range(len(numbers.spec.classes))


def _checked(numbers: Shares, heads: Iterable[Head]) -> list[Head]:
    """Heads as a list; ArgumentError unless there are one to eight that were analysed."""
    n_heads = numbers.shown.shape[1]
    try:
        chosen = [(int(layer), int(head)) for layer, head in heads]
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"heads: expected pairs (layer, head), counted from 0, got {heads!r}"
        ) from error
    if not 1 <= len(chosen) <= len(style.LINES):
        raise ArgumentError(
            f"heads: expected one to {len(style.LINES)}, which can be told apart, got {len(chosen)}"
        )
    for layer, head in chosen:
        if layer not in numbers.layers or not 0 <= head < n_heads:
            raise ArgumentError(
                f"heads: layer {layer}, head {head} (from 0) was not analysed; this result has "
                f"layers {', '.join(map(str, numbers.layers))} and {n_heads} heads in each"
            )
    return chosen


def _head_looks(n: int) -> list[dict[str, Any]]:
    return [
        {"color": colour, "marker": marker, "linestyle": dashes}
        for colour, marker, dashes in style.LINES[:n]
    ]


def _layer_looks(n: int) -> list[dict[str, Any]]:
    """Dark to light with depth; few layers have markers as well."""
    from matplotlib import colormaps

    shades = colormaps[style.COLOUR_MAP](np.linspace(0.0, 0.92, n))
    markers = [marker for _, marker, _ in style.LINES]
    return [
        {
            "color": tuple(shade),
            "marker": markers[k % len(markers)] if n <= len(markers) else None,
            "linewidth": 1.0,
            "markersize": 3.2,
        }
        for k, shade in enumerate(shades)
    ]


def _log_axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)  # two labels at least
    axes.yaxis.set_major_locator(LogLocator(10, subs=steps, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, position: f"{number:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(
    figure: Figure, where: tuple[float, float], lines: list[Any], labels: list[str], title: str
) -> None:
    width, height = figure.get_size_inches()
    figure.legend(
        lines,
        labels,
        title=title,
        loc="upper left",
        bbox_to_anchor=(where[0] / width, 1 - where[1] / height),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.6,
        alignment="left",
        title_fontsize=style.SMALL,
    )


def _layer_bar(figure: Figure, where: tuple[float, float], names: list[str], line: Any) -> None:
    """A vertical bar of the layers' shades, first layer uppermost."""
    axes = style.place(figure, where[0] + 0.05, where[1] + 0.18, 0.1, _HEIGHT - 0.5)
    n = len(names)
    axes.imshow(
        np.linspace(0.0, 0.92, n)[:, None],
        aspect="auto",
        cmap=style.COLOUR_MAP,
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )
    shown = style.thinned([int(name) for name in names], 9)
    for k in shown:
        axes.text(
            1.3,
            k,
            names[k],
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=style.SMALL,
        )
    style.write(figure, where[0], where[1], "layer", fontsize=style.SMALL)
    _legend(figure, (where[0], where[1] + _HEIGHT - 0.2), [line], ["background"], "")
