"""Results made of random numbers, for tests of everything that handles results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from provis_fast.statistics import HeadStatistics, PropertySpec

PROPERTIES = (
    PropertySpec("kind", "key_class", ("A", "B", "C")),
    PropertySpec("scale", "key_value", ("value",), {"unit": "kJ"}),
    PropertySpec("contact", "pair", ("contact",), {"cutoff": 8.0}),
)
N_CLASSES = 5
CHANNELS = 1 + 3 + N_CLASSES


@dataclass(frozen=True)
class Batch:
    """What the engine adds for S proteins."""

    arc_counts: np.ndarray  # int64 [S, thetas, layers, heads, K]
    mass: np.ndarray  # int64 [S, layers, heads, K]
    entropy: np.ndarray  # int64 [S, layers, heads]
    background_num: np.ndarray  # int64 [S, C]
    background_den: np.ndarray  # int64 [S, P]

    @classmethod
    def random(cls, seed: int, n_proteins: int = 3, largest: int = 10**4) -> Batch:
        rng = np.random.default_rng(seed)

        def numbers(*shape: int) -> np.ndarray:
            return rng.integers(0, largest, shape)

        denominators = rng.integers(0, 300, (n_proteins, len(PROPERTIES)))
        shares = rng.random((n_proteins, N_CLASSES))
        numerators = (shares * denominators[:, [0, 0, 0, 1, 2]]).astype(np.int64)
        numerators[:, 3] = rng.integers(-(2**24), 2**24, n_proteins) * (denominators[:, 1] > 0)
        arcs = numbers(n_proteins, 2, 2, 3, CHANNELS)
        arcs[..., 6] -= largest // 2  # sums of values may be negative
        return cls(
            arcs,
            numbers(n_proteins, 2, 3, CHANNELS) << 32,
            numbers(n_proteins, 2, 3) << 32,
            numerators,
            denominators,
        )

    def part(self, which: slice) -> Batch:
        return Batch(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def add_to(self, result: HeadStatistics) -> None:
        result.add(
            self.arc_counts if result.weighting != "attention" else None,
            self.mass if result.weighting != "arcs" else None,
            self.entropy if result.totals["entropy"] is not None else None,
            self.background_num,
            self.background_den,
            100 * len(self.arc_counts),
        )


def empty_result(**changes) -> HeadStatistics:
    """No protein yet: layers 1 and 3 of 4, three heads, two thresholds, everything kept."""
    arguments = {
        "layers": (1, 3),
        "n_layers": 4,
        "n_heads": 3,
        "thresholds": (0.1, 0.3),
        "scalar_threshold": False,
        "properties": PROPERTIES,
        "weighting": "both",
        "min_arcs": 100,
        "model": {"name": "tiny", "digest": "d1", "dtype": "float32"},
        "entropy": True,
    }
    return HeadStatistics.empty(**(arguments | changes))


def random_result(seed: int, n_proteins: int = 3, **changes) -> HeadStatistics:
    """A result of random numbers from an input of its own."""
    name = f"{seed}.fasta"
    inputs = [{"path": name, "sha256": f"digest of {name}", "bytes": seed}]
    result = empty_result(**({"inputs": inputs} | changes))
    Batch.random(seed, n_proteins).add_to(result)
    return result
