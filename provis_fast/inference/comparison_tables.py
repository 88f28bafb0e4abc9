"""Tables of a comparison, made of estimates and their differences; see `comparison`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.head_arrays import PropertySpec
from provis_fast.inference import resampling
from provis_fast.inference.assignment import Clusters
from provis_fast.inference.clusters import student_quantile
from provis_fast.inference.comparison_contrasts import Contrast, Estimate, contrast
from provis_fast.inference.comparison_estimates import (
    HeadEstimates,
    clusters_of,
    estimates,
    read_units,
    with_floors,
)
from provis_fast.inference.comparison_ground import NOTES, Ground, Part
from provis_fast.inference.comparison_models import (
    AVERAGED,
    ENOUGH_REPLICATES,
    ESTIMATED,
    SUMMARIES,
    ModelSummary,
    resampled_variance,
    summarise,
)
from provis_fast.inference.log_probabilities import log_p_student
from provis_fast.inference.multiplicity import benjamini_hochberg, bonferroni

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

#: Columns where heads correspond; one row per layer, head, property, class, statistic, threshold.
HEAD_COLUMNS = (
    *("layer", "head", "property", "class", "statistic", "threshold"),
    *("eligible_a", "eligible_b", "units_a", "units_b", "units_shared"),
    *("proportion_a", "proportion_b", "difference", "low", "high", "t", "df"),
    *("log_p", "log_p_bonferroni", "log_q", "bootstrap_low", "bootstrap_high"),
    *("background_a", "background_b", "expected_a", "expected_b"),
    *("excess_a", "excess_b", "excess_difference", "excess_low", "excess_high", "excess_t"),
    *("excess_df", "excess_log_p", "excess_log_p_bonferroni", "excess_log_q", "covariance"),
)
#: Columns where they do not; one row per property, class, statistic, threshold and summary.
MODEL_COLUMNS = (
    *("property", "class", "statistic", "threshold", "summary"),
    *("layer_a", "head_a", "layer_b", "head_b"),
    *("a", "a_low", "a_high", "b", "b_low", "b_high"),
    *("difference", "low", "high", "t", "df", "log_p"),
    *("bootstrap_low", "bootstrap_high", "covariance"),
)
#: q below which a head counts as above the background.
SIGNIFICANT = 0.05


class _Block(NamedTuple):
    """Both results' estimates of one property and statistic."""

    spec: PropertySpec
    part: Part
    a: HeadEstimates
    b: HeadEstimates


class Comparison:
    """The arguments of `compare`, checked, and the tables made of them."""

    def __init__(
        self,
        a: HeadStatistics,
        b: HeadStatistics,
        ground: Ground,
        folders: tuple[Any, Any],
        unit: str,
        clusters: Clusters,
        confidence: float,
    ):
        self.results = [replace(result, min_arcs=ground.min_arcs) for result in (a, b)]
        self.ground, self.folders = ground, folders
        self.unit, self.confidence = unit, confidence
        self.unit_of, self.notes = None, ()
        if unit == "cluster":
            self.unit_of, self.notes = clusters_of(folders, clusters)

    def _blocks(self) -> Iterable[_Block]:
        for part in self.ground.parts:
            for spec in self.ground.properties:
                sides = []
                for result, folder, theta in zip(
                    self.results, self.folders, (part.a, part.b), strict=True
                ):
                    units = None
                    if folder is not None:
                        units = read_units(folder, result, spec, part, self.unit_of)
                    sides.append(estimates(result, spec, part, theta, self.ground.min_arcs, units))
                yield _Block(spec, part, *sides)

    def _pair(self, block: _Block) -> tuple[HeadEstimates, HeadEstimates]:
        """The same layers of both, ready for differences head by head."""
        a, b = _rows(block.a, self.ground.rows_a), _rows(block.b, self.ground.rows_b)
        counted = block.part.statistic == "arcs" and not block.spec.is_value
        return with_floors(a, b) if counted else (a, b)

    # ---- heads that correspond

    def heads(self) -> pd.DataFrame:
        """The table where heads correspond."""
        ground = self.ground
        parts = []
        for block in self._blocks():
            a, b = self._pair(block)
            shape = a.proportion.value.shape
            layer, head, class_index = np.indices(shape).reshape(3, -1)
            columns: dict[str, Any] = {
                "layer": np.asarray(ground.layers)[layer],
                "head": head,
                "property": block.spec.name,
                "class": np.asarray(block.spec.classes, object)[class_index],
                "statistic": block.part.statistic,
                "threshold": np.nan if block.part.threshold is None else block.part.threshold,
            }
            numbers = self._of_heads(a, b)
            covariance = numbers.pop("covariance")
            columns |= {
                name: np.broadcast_to(array, shape).reshape(-1) for name, array in numbers.items()
            }
            parts.append(columns | {"covariance": covariance})
        return self._table(parts, HEAD_COLUMNS)

    def _of_heads(self, a: HeadEstimates, b: HeadEstimates) -> dict[str, Any]:
        proportion, covariance = self._contrast(a, b)
        excess = contrast(a.excess, b.excess)
        low, high = self._bootstrap(a.replicates, b.replicates, proportion.value)
        known = a.proportion.contributions is not None and b.proportion.contributions is not None
        return {
            "eligible_a": a.eligible[..., None],
            "eligible_b": b.eligible[..., None],
            "units_a": _units(a),
            "units_b": _units(b),
            "units_shared": proportion.shared if known else np.nan,
            "proportion_a": a.proportion.value,
            "proportion_b": b.proportion.value,
            **self._tested("difference", "", proportion),
            "bootstrap_low": low,
            "bootstrap_high": high,
            "background_a": a.background,
            "background_b": b.background,
            "expected_a": a.expected,
            "expected_b": b.expected,
            "excess_a": a.excess.value,
            "excess_b": b.excess.value,
            **self._tested("excess_difference", "excess_", excess),
            "covariance": covariance,
        }

    def _contrast(self, a: HeadEstimates, b: HeadEstimates) -> tuple[Contrast, str]:
        """Difference of the proportions, and how their covariance was dealt with."""
        found = contrast(a.proportion, b.proportion)
        covariance = self._covariance(a, b)
        if covariance == "bootstrap":
            moved = _differences(a.replicates, b.replicates)
            units = np.minimum(a.proportion.units, b.proportion.units)
            variance = resampled_variance(moved, units)
            variance = variance + a.proportion.added + b.proportion.added
            undefined = np.isnan(found.variance)
            found = found._replace(
                variance=np.where(undefined, np.nan, variance),
                degrees=np.where(undefined, np.nan, _resampled_degrees(units, len(moved))),
            )
        return found, covariance

    def _covariance(self, a: HeadEstimates, b: HeadEstimates) -> str:
        one, two = (x.proportion.contributions for x in (a, b))
        if one is not None and two is not None:
            apart = self.ground.overlap == "none" and not len(np.intersect1d(one.names, two.names))
            return "none" if apart else "estimated"
        if self.ground.overlap == "none":
            return "none"
        replicates = [x.replicates for x in (a, b)]
        if self.unit == "protein" and all(
            each is not None and len(each) >= ENOUGH_REPLICATES for each in replicates
        ):
            return "bootstrap"
        return "unknown" if self.ground.overlap == "unknown" else "ignored"

    def _tested(self, name: str, prefix: str, found: Contrast) -> dict[str, NDArray[np.float64]]:
        """The columns of a difference; heads of one class are one family of tests."""
        error = np.sqrt(np.where(found.variance > 0, found.variance, np.nan))
        reach = student_quantile(self.confidence, found.degrees) * error
        t = found.value / error
        log_p = log_p_student(t, found.degrees)
        families = log_p.reshape(-1, log_p.shape[-1])
        return {
            name: found.value,
            f"{prefix}low": found.value - reach,
            f"{prefix}high": found.value + reach,
            f"{prefix}t": t,
            f"{prefix}df": np.where(np.isnan(t), np.nan, found.degrees),
            f"{prefix}log_p": log_p,
            f"{prefix}log_p_bonferroni": bonferroni(families).reshape(log_p.shape),
            f"{prefix}log_q": benjamini_hochberg(families).reshape(log_p.shape),
        }

    def _bootstrap(
        self,
        a: NDArray[np.float64] | None,
        b: NDArray[np.float64] | None,
        value: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Percentile interval of a difference; NaN without replicates of both."""
        if a is None or b is None:
            nothing = np.full(value.shape, np.nan)
            return nothing, nothing
        found = resampling.percentile_interval(_differences(a, b), self.confidence)
        low, high = (np.where(np.isnan(value), np.nan, x) for x in found)
        return low, high

    # ---- models whose heads do not

    def models(self) -> pd.DataFrame:
        """The table where heads do not correspond."""
        parts = []
        for block in self._blocks():
            above = [self._above(result, block.spec, block.part) for result in self.results]
            rows = [
                row
                for index in range(len(block.spec.classes))
                for row in self._of_models(block, index, above)
            ]
            columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
            columns["class"] = columns["class"].astype(object)
            columns["property"] = block.spec.name
            columns["statistic"] = block.part.statistic
            threshold = block.part.threshold
            columns["threshold"] = np.nan if threshold is None else threshold
            parts.append(columns)
        return self._table(parts, MODEL_COLUMNS)

    def _above(self, result: HeadStatistics, spec: PropertySpec, part: Part) -> NDArray[np.bool_]:
        """Heads above the background with q < 0.05, bool [layers, heads, classes]."""
        shape = (len(result.layers), result.n_heads, len(spec.classes))
        if part.statistic == "mass":
            return np.zeros(shape, bool)
        table = result.infer(spec.name, statistic="arcs", threshold=part.threshold)
        above = (table["log_q"] < np.log(SIGNIFICANT)) & (table["excess"] > 0)
        return above.to_numpy().reshape(shape)

    def _of_models(
        self, block: _Block, index: int, above: list[NDArray[np.bool_]]
    ) -> Iterable[dict[str, Any]]:
        sides = [
            summarise(
                found, index, result.layers, result.n_layers, tests[..., index], block.spec.is_value
            )
            for found, result, tests in zip((block.a, block.b), self.results, above, strict=True)
        ]
        found, resampled = self._of_summaries(sides)
        tested = self._tested("difference", "", Contrast(*(x[..., None] for x in found)))
        own = [self._interval(side.estimates, block.spec.is_value) for side in sides]
        covariance = self._covariance(block.a, block.b)
        if covariance == "bootstrap":  # of those in `resampled` alone
            covariance = "unknown" if self.ground.overlap == "unknown" else "ignored"
        for name in SUMMARIES:
            row: dict[str, Any] = {"class": block.spec.classes[index], "summary": name}
            values = [side.values[name] for side in sides]
            heads = [side.heads.get(name, (np.nan, np.nan)) for side in sides]
            (row["layer_a"], row["head_a"]), (row["layer_b"], row["head_b"]) = heads
            row["a"], row["b"] = map(float, values)
            row["difference"] = row["b"] - row["a"]
            undefined = dict.fromkeys(MODEL_COLUMNS[10:], np.nan)
            at = ESTIMATED.index(name) if name in ESTIMATED else None
            for side, interval in zip("ab", own, strict=True):
                row[f"{side}_low"], row[f"{side}_high"] = (
                    (np.nan, np.nan) if at is None else interval[at]
                )
            for column in ("low", "high", "t", "df", "log_p"):
                row[column] = np.nan if at is None else tested[column][at, 0]
            row["bootstrap_low"] = row["bootstrap_high"] = np.nan
            both = [side.replicates.get(name) for side in sides]
            if both[0] is not None and both[1] is not None:
                low, high = resampling.percentile_interval(
                    _differences(both[0], both[1]), self.confidence
                )
                row["bootstrap_low"], row["bootstrap_high"] = float(low), float(high)
            row["covariance"] = "" if at is None else covariance
            if name in resampled:
                row["covariance"] = "bootstrap"
            yield undefined | row

    def _of_summaries(self, sides: list[ModelSummary]) -> tuple[Contrast, tuple[str, ...]]:
        """Differences, and the names of those whose variance comes from replicates."""
        found = contrast(*(side.estimates for side in sides))
        names = []
        for name in AVERAGED if self.unit == "protein" else ():
            both = [side.replicates.get(name, np.empty(0)) for side in sides]
            enough = min(map(len, both)) >= ENOUGH_REPLICATES
            if enough and (sides[0].bounded or sides[1].bounded):
                at = ESTIMATED.index(name)
                units = min(side.estimates.units[at] for side in sides)
                found.variance[at] = resampled_variance(_differences(*both), units)
                found.degrees[at] = _resampled_degrees(units, min(map(len, both)))
                names.append(name)
        return found, tuple(names)

    def _interval(self, found: Estimate, is_value: bool) -> NDArray[np.float64]:
        """Intervals of estimates, float64 [summaries, 2]; of shares within 0 and 1."""
        error = np.sqrt(np.where(found.variance > 0, found.variance, np.nan))
        degrees = np.where(found.units > 1, found.degrees, np.nan)
        reach = student_quantile(self.confidence, degrees) * error
        ends = np.stack([found.value - reach, found.value + reach], axis=-1)
        if not is_value:
            shares = [at for at, name in enumerate(ESTIMATED) if not name.endswith("excess")]
            ends[shares] = np.clip(ends[shares], 0.0, 1.0)
        return ends

    # ---- both

    def _table(self, parts: list[dict[str, Any]], names: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        table = pd.concat(
            [pd.DataFrame(columns, columns=list(names)) for columns in parts], ignore_index=True
        )
        ground = self.ground
        table.attrs = {
            "matched": ground.matched,
            "reason": ground.reason,
            "overlap": ground.overlap,
            "shared_proteins": ground.shared_proteins,
            "left_out": dict(ground.left_out),
            "differences": [tuple(each) for each in ground.differences],
            "confidence": self.confidence,
            "unit": self.unit,
            "notes": self._notes(set(table["covariance"])),
        }
        return table

    def _notes(self, covariances: set[str]) -> list[str]:
        same = {"ignored": "same_model"} if self.ground.same_model else {}
        found = [NOTES[same.get(name, name)] for name in NOTES if name in covariances]
        return [*found, *self.notes]


def _resampled_degrees(units: Any, n_replicates: int) -> Any:
    """Degrees of freedom of a variance that R replicates of G units tell.

    It varies as an estimate from G units does, and once more as one from R replicates: relative
    variances, 2 / (G - 1) and 2 / (R - 1), add up.
    """
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 / (np.asarray(units) - 1.0) + 1.0 / (n_replicates - 1.0))


def _units(found: HeadEstimates) -> NDArray[np.float64]:
    """Units behind each estimate; NaN where attention's are not known."""
    units = found.proportion.units
    return np.where((units == 0) & (found.eligible[..., None] > 0), np.nan, units)


def _rows(found: HeadEstimates, rows: tuple[int, ...]) -> HeadEstimates:
    """Estimates of some layers."""
    if rows == tuple(range(len(found.eligible))):
        return found
    at = list(rows)

    def of(estimate: Estimate) -> Estimate:
        parts = estimate.contributions
        if parts is not None:
            parts = parts._replace(values=parts.values[:, at], present=parts.present[:, at])
        return Estimate(estimate.value[at], estimate.variance[at], estimate.units[at], parts)

    return found._replace(
        eligible=found.eligible[at],
        proportion=of(found.proportion),
        excess=of(found.excess),
        expected=found.expected[at],
        replicates=None if found.replicates is None else found.replicates[:, at],
    )


def _differences(a: Any, b: Any) -> NDArray[np.float64]:
    """Differences of the replicates that both have, number by number."""
    number = min(len(a), len(b))
    return b[:number] - a[:number]
