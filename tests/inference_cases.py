"""Counts of single proteins that make sense, and inference from them by plain loops."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from result_cases import CHANNELS, Batch
from scipy import stats
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

#: Of the properties of `result_cases`: channel of the eligible arcs, and of each class.
CHANNEL_OF = {"kind": (1, (2, 3, 4)), "scale": (5, (6,)), "contact": (7, (8,))}
#: Class columns, and number among the properties.
COLUMN_OF = {"kind": (0, 1, 2), "scale": (3,), "contact": (4,)}
NUMBER_OF = {"kind": 0, "scale": 1, "contact": 2}
BITS_OF = {"kind": 0, "scale": 16, "contact": 0}


def proteins(seed: int, n_proteins: int, arcs: float = 60.0, composition: float = 8.0) -> Batch:
    """Random proteins: classes of an arc differ from protein to protein, and so do backgrounds; of
    some proteins a property is not known."""
    rng = np.random.default_rng(seed)
    shape = (n_proteins, 2, 2, 3)  # thetas, layers, heads
    lengths = rng.integers(30, 300, n_proteins)
    shares = rng.dirichlet(np.array([1.0, 2.0, 3.0, 4.0]) / 10 * composition, n_proteins)
    numbers = np.zeros((*shape, CHANNELS), np.int64)
    numbers[..., 0] = rng.poisson(arcs * rng.gamma(2.0, 0.5, shape))
    known = rng.random((n_proteins, 3)) < [0.9, 0.8, 1.0]
    for number, (eligible, _) in enumerate(CHANNEL_OF.values()):
        part = rng.binomial(numbers[..., 0], 0.9)
        numbers[..., eligible] = part * known[:, number, None, None, None]
    own = rng.dirichlet(np.ones(4), shape) * 0.5 + shares[:, None, None, None] * 0.5
    numbers[..., 2:5] = rng.multinomial(numbers[..., 1], own)[..., :3]
    noise = rng.integers(-(2**17), 2**17, shape)
    numbers[..., 6] = (numbers[..., 5] * 40_000 + noise) * known[:, 1, None, None, None]
    numbers[..., 8] = rng.binomial(numbers[..., 7], 0.2)
    residues = np.stack([lengths, lengths, lengths**2 // 2], axis=1) * known
    counts = np.zeros((n_proteins, 5), np.int64)
    counts[:, :3] = rng.multinomial(residues[:, 0], shares)[:, :3]
    counts[:, 3] = residues[:, 1] * rng.integers(20_000, 60_000, n_proteins)
    counts[:, 4] = rng.binomial(residues[:, 2], 0.05)
    mass = np.ldexp(numbers[:, 0].astype(np.float64), 31).astype(np.int64)
    return Batch(numbers, mass, mass[..., 0], counts, residues)


def shares(batch: Batch, name: str, k: int) -> np.ndarray:
    """Background share of each protein, float64 [S]; 0 where it has none."""
    numerators = np.ldexp(batch.background_num[:, COLUMN_OF[name][k]].astype(float), -BITS_OF[name])
    denominators = batch.background_den[:, NUMBER_OF[name]]
    return np.where(denominators > 0, numerators / np.maximum(denominators, 1), 0.0)


def per_unit(
    batch: Batch, name: str, k: int, at: tuple[int, int, int], unit: np.ndarray | None = None
) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
    """y, n and n b of every unit that has eligible arcs, exactly; units are proteins or `unit`."""
    eligible, classes = CHANNEL_OF[name]
    scale = 2 ** BITS_OF[name]
    found: dict[int, list[Fraction]] = {}
    for s, share in enumerate(shares(batch, name, k)):
        n = int(batch.arc_counts[(s, *at, eligible)])
        y = Fraction(int(batch.arc_counts[(s, *at, classes[k])]), scale)
        nb = Fraction(round(n * (float(share) * 2**20)), 2**20)
        sums = found.setdefault(s if unit is None else int(unit[s]), [Fraction(0)] * 3)
        for number, value in enumerate((y, Fraction(n), nb)):
            sums[number] += value
    rows = [sums for sums in found.values() if sums[1]]
    return tuple([row[number] for row in rows] for number in range(3))


def naive(
    batch: Batch,
    name: str,
    k: int,
    at: tuple[int, int, int],
    confidence: float = 0.95,
    unit: np.ndarray | None = None,
) -> dict[str, float]:
    """One row of the table, by plain arithmetic and what scipy and statsmodels have."""
    ys, ns, nbs = per_unit(batch, name, k, at, unit)
    y, n, nb, units = sum(ys), sum(ns), sum(nbs), len(ns)
    p = y / n
    row = {
        "eligible": float(n),
        "count": float(y),
        "proportion": float(p),
        "units": float(units),
        "expected": float(nb / n),
        "excess": float((y - nb) / n),
    }
    excesses = [a - b for a, b in zip(ys, nbs, strict=True)]
    residuals = [a - p * b for a, b in zip(ys, ns, strict=True)]
    e = (y - nb) / n
    moved = sum((u - e * b) ** 2 for u, b in zip(excesses, ns, strict=True)) / n**2
    critical = stats.t.ppf((1 + confidence) / 2, units - 1)
    half = critical * math.sqrt(Fraction(units, units - 1) * moved)
    row["excess_low"], row["excess_high"] = row["excess"] - half, row["excess"] + half
    robust = Fraction(units, units - 1) * sum(e * e for e in residuals) / n**2
    half = critical * math.sqrt(robust)
    row["low"], row["high"] = row["proportion"] - half, row["proportion"] + half
    test = stats.ttest_1samp([float(u) for u in excesses], 0.0)
    row["t"], row["log_p"] = test.statistic, math.log(test.pvalue)
    column = COLUMN_OF[name][k]
    total = sum(int(d) for d in batch.background_den[:, NUMBER_OF[name]])
    background = Fraction(int(batch.background_num[:, column].sum()), 2 ** BITS_OF[name] * total)
    row["background"] = float(background)
    if name == "scale":
        return row | {"enrichment": float(p - background)}
    row["low"], row["high"] = max(row["low"], 0.0), min(row["high"], 1.0)
    row["enrichment"] = float(p / background)
    row["log_odds"] = math.log(p / (1 - p) / (background / (1 - background)))
    counts = [int(y), int(batch.background_num[:, column].sum())]
    z, log_p = proportions_ztest(counts, [int(n), total])
    row["z"], row["log_p_z"] = z, math.log(log_p)
    for method, column_name in (("normal", "wald"), ("wilson", "wilson")):
        interval = proportion_confint(int(y), int(n), alpha=1 - confidence, method=method)
        row[f"{column_name}_low"], row[f"{column_name}_high"] = interval
    return row
