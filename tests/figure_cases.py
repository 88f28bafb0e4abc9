"""Made-up results to draw, the same on every machine: no generator of random numbers is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.statistics import HeadStatistics, PropertySpec

BINS = ("0", "1", "2", "3", "4", "5", "6-11", "12-23", ">=24")
SPECS = {
    spec.name: spec
    for spec in (
        PropertySpec("amino_acid", "key_class", (*AMINO_ACIDS, "other")),
        PropertySpec("secondary_structure", "key_class", ("helix", "strand", "turn", "other")),
        PropertySpec("binding_site", "key_class", ("binding_site",)),
        PropertySpec("contact", "pair", ("contact",), {"cutoff": 8.0}),
        PropertySpec("separation", "separation", BINS),
        PropertySpec("hydrophobicity", "key_value", ("value",)),
    )
}
#: Background shares of the classes; for the key value its mean.
_BACKGROUND = {
    "amino_acid": np.array([8, 2, 5, 6, 4, 7, 2, 6, 6, 9, 2, 4, 5, 4, 5, 7, 5, 7, 1, 4, 1]) / 100,
    "secondary_structure": np.array([0.36, 0.24, 0.2, 0.2]),
    "binding_site": np.array([0.05]),
    "contact": np.array([0.03]),
    "separation": np.array([1, 2, 2, 2, 2, 2, 10, 19, 60]) / 100,
    "hydrophobicity": np.array([-0.4]),
}


def scattered(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers in [0, 1) that look random: fractions of multiples of irrational numbers."""
    places = np.indices(shape, dtype=np.float64) + 1.0
    factors = np.sqrt([2, 3, 5, 7, 11, 13][: len(shape)]).reshape(-1, *[1] * len(shape))
    x = (places * factors).sum(axis=0) + seed * np.sqrt(17.0)
    return np.mod(np.sin(12.9898 * x) * 43.7585, 1.0)


def made_up(
    layers: int | Sequence[int] = 6,
    n_heads: int = 8,
    *,
    thresholds: float | tuple[float, ...] = 0.3,
    weighting: str = "arcs",
    properties: Sequence[str] = tuple(SPECS),
    n_proteins: int = 5,
    **changes,
) -> HeadStatistics:
    """A result whose shares differ among heads, and some of whose heads have too few arcs."""
    layers = range(layers) if isinstance(layers, int) else layers
    single = isinstance(thresholds, float)
    thetas = (thresholds,) if single else thresholds
    specs = [SPECS[name] for name in properties]
    arguments = {"model": {"name": "made-up"}, "min_arcs": 100} | changes
    result = HeadStatistics.empty(
        layers, max(layers) + 1, n_heads, thetas, single, specs, weighting, **arguments
    )
    channels = result.totals.channels
    shape = (n_proteins, max(len(result.thresholds), 1), len(layers), n_heads)
    arcs = np.zeros((*shape, channels.count), np.int64)
    numerators = np.zeros((n_proteins, len(channels.classes)), np.int64)
    denominators = np.zeros((n_proteins, len(specs)), np.int64)
    fewer = np.arange(1, shape[1] + 1)[:, None, None] ** 2
    most = 10 ** (0.7 + 3.0 * scattered(*shape[2:], seed=1))  # of a head, 5 to 5,000
    every = (most * (0.5 + scattered(*shape)) / fewer).astype(np.int64) + 1
    arcs[..., 0] = every
    for p, spec in enumerate(specs):
        base = _BACKGROUND[spec.name]
        known = every if spec.kind == "separation" else every * 9 // 10
        arcs[..., channels.eligible[p]] = known
        favoured = 1 + 14 * scattered(*shape[2:], len(base), seed=2 + p) ** 6
        weights = base * favoured
        if spec.is_value:
            share = base + 3 * scattered(*shape[2:], 1, seed=2 + p) - 1
            unit = 2**16
        else:
            rest = np.maximum(1 - base.sum(), 0.0)
            share, unit = weights / (weights.sum(axis=-1, keepdims=True) + rest), 1
        varied = share * (0.8 + 0.2 * scattered(n_proteins, 1, 1, 1, 1, seed=9))
        counted = np.floor(known[..., None] * varied * unit).astype(np.int64)
        columns = channels.columns(p)
        arcs[..., channels.classes[columns]] = counted
        residues = 200 + 10 * np.arange(n_proteins)
        denominators[:, p] = residues**2 if spec.kind in ("pair", "separation") else residues
        numerators[:, columns] = np.rint(denominators[:, [p]] * base * unit)
    mass = None if weighting == "arcs" else (arcs[:, 0] << 32)
    result.add(
        None if weighting == "attention" else arcs,
        mass,
        None,
        numerators,
        denominators,
        int(residues.sum()) if specs else 200 * n_proteins,
    )
    return result
