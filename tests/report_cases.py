"""Results drawn from distributions that are known, for tests of reports."""

from __future__ import annotations

import numpy as np

from provis_fast.statistics import HeadStatistics, PropertySpec

#: Names that end elements, scripts and formulas, if anything lets them.
HOSTILE = (
    '<script>alert("1")</script>',
    "</script><img src=x onerror=alert(2)>",
    "\"'><svg onload=alert(3)>{{ 7 * 7 }}",
    "a&lt;b\u2028]]>--><!--",
    r"$\frac{$ ^_ $$ % \n",
)


def key_class(name: str, *classes: str) -> PropertySpec:
    return PropertySpec(name, "key_class", classes or (name,))


def value(name: str) -> PropertySpec:
    return PropertySpec(name, "key_value", (name,))


CONTACT = PropertySpec(
    "contact", "pair", ("contact",), {"atom": "CA", "cutoff": 8.0, "separation": 6}
)


def drawn_result(
    specs,
    n_layers: int = 3,
    n_heads: int = 4,
    n_proteins: int = 60,
    seed: int = 0,
    favoured: float = 0.3,
    mean_arcs: float = 30.0,
    **changes,
) -> HeadStatistics:
    """A result of heads of which a part favours each class, over proteins that vary.

    Parameters
    ----------
    specs : sequence of PropertySpec
    favoured : float
        Part of the heads for which a class is 2 to 12 times as frequent as in the background.
    mean_arcs : float
        Eligible arcs of a protein at the first threshold; half as many at every next one.
    **changes
        Arguments of `HeadStatistics.empty`.
    """
    rng = np.random.default_rng(seed)
    arguments = {
        "layers": tuple(range(n_layers)),
        "n_layers": n_layers,
        "n_heads": n_heads,
        "thresholds": (0.3,),
        "scalar_threshold": True,
        "properties": tuple(specs),
        "model": {"name": "drawn", "digest": "d1", "dtype": "float32"},
        "inputs": [{"path": "drawn.fasta", "sha256": "ab" * 32, "bytes": 1234}],
    }
    result = HeadStatistics.empty(**(arguments | changes))
    n_layers = len(result.layers)
    shape = (n_proteins, max(len(result.thresholds), 1), n_layers, n_heads)
    eligible = rng.poisson(mean_arcs, shape)
    eligible //= 2 ** np.arange(shape[1])[None, :, None, None]
    factors = np.where(
        rng.random((n_layers, n_heads)) < favoured, rng.uniform(2, 12, (n_layers, n_heads)), 1.0
    )
    arcs, numerators, denominators = [eligible], [], []
    for spec in specs:
        arcs.append(eligible)
        residues = rng.integers(100, 300, n_proteins)
        denominators.append(residues)
        for share in _shares(rng, len(spec.classes), n_proteins):
            if spec.is_value:
                mean = rng.normal(0.5, 1.0, n_proteins)
                numerators.append(np.rint(mean * residues * 2**16).astype(np.int64))
                per_arc = mean[:, None, None, None] + np.log(factors)
                arcs.append(np.rint(eligible * per_arc * 2**16).astype(np.int64))
                continue
            numerators.append(rng.binomial(residues, share))
            p = np.minimum(share[:, None, None, None] * np.roll(factors, rng.integers(99)), 0.98)
            arcs.append(rng.binomial(eligible, p))
    counts = np.stack(np.broadcast_arrays(*arcs), axis=-1).astype(np.int64)
    mass = None if result.weighting == "arcs" else counts[:, 0] << 31
    result.add(
        None if result.weighting == "attention" else counts,
        mass,
        None,
        np.stack(numerators, axis=-1) if numerators else np.zeros((n_proteins, 0), np.int64),
        np.stack(denominators, axis=-1) if denominators else np.zeros((n_proteins, 0), np.int64),
        200 * n_proteins,
    )
    return result


def _shares(rng: np.random.Generator, n_classes: int, n_proteins: int) -> np.ndarray:
    """Background shares of the classes, float64 [classes, proteins]; they vary between proteins."""
    mean = rng.uniform(0.02, 0.08, n_classes)
    return np.clip(mean[:, None] * rng.lognormal(0.0, 0.25, (n_classes, n_proteins)), 0, 1)


def large_specs() -> list[PropertySpec]:
    """30 properties of together 150 classes, of all kinds."""
    twenty = [f"class {number}" for number in range(1, 21)]
    specs = [key_class(f"many_{n}", *twenty) for n in range(1, 6)]
    specs += [key_class(f"four_{n}", "a", "b", "c", "d") for n in range(1, 9)]
    specs += [key_class(f"site_{n}") for n in range(1, 12)]
    specs += [CONTACT, *(value(f"value_{n}") for n in range(1, 6))]
    assert len(specs) == 30
    return specs
