"""Pairs of results for tests of comparisons: of random numbers, and of small models."""

from __future__ import annotations

from dataclasses import replace

import analysis_cases
import numpy as np

import provis_fast as pf
from provis_fast.statistics import HeadStatistics, PropertySpec

CONTACT = PropertySpec("contact", "pair", ("contact",), {"cutoff": 8.0})
#: Residues with which a protein's background is told, so that shares are exact to 1e-4.
RESIDUES = 10_000


def result_of(
    n: np.ndarray,  # int [G, layers, heads]
    y: np.ndarray,  # int [G, layers, heads]
    b: np.ndarray,  # float [G]
    digests: np.ndarray | None = None,  # uint64 [G]
    **changes,
) -> HeadStatistics:
    """A result of one pair property from what every protein has of it."""
    layers, heads = n.shape[1:]
    arguments = {
        "layers": range(layers),
        "n_layers": layers,
        "n_heads": heads,
        "thresholds": (0.3,),
        "scalar_threshold": True,
        "properties": (CONTACT,),
        "min_arcs": 1,
        "model": {"name": "tiny", "digest": "d1", "dtype": "float32", "family": "esm"},
    }
    result = HeadStatistics.empty(**(arguments | changes))
    counts = np.stack([n, n, y], axis=-1).astype(np.int64)[:, None]
    numerators = np.rint(b * RESIDUES).astype(np.int64)[:, None]
    result.add(counts, None, None, numerators, np.full((len(n), 1), RESIDUES), 100 * len(n))
    result.protein_digests = np.sort(
        np.random.default_rng(len(n)).integers(0, 2**63, len(n)).astype(np.uint64)
        if digests is None
        else digests
    )
    return result


def drawn(
    rng: np.random.Generator,
    shares: np.ndarray,  # float [G]: of each protein
    heads: int,
    mean_arcs: float = 60,
) -> tuple[np.ndarray, np.ndarray]:
    """Eligible arcs and arcs in the class, [G, 1, heads]; proteins differ a lot in their arcs."""
    sizes = rng.gamma(2.0, mean_arcs / 2, (len(shares), 1, heads)).astype(np.int64) + 1
    return sizes, rng.binomial(sizes, shares.reshape(len(shares), 1, -1))


#: Properties of every kind that small models are analysed with.
PROPERTIES = ("secondary_structure", "contact", "separation")


def analysed(model, proteins, folder, **options) -> HeadStatistics:
    """A saved result with counts of single proteins."""
    tables = folder / "tables"
    result = pf.analyze(
        model,
        proteins,
        options.pop("properties", PROPERTIES),
        options.pop("threshold", 0.3),
        per_protein="counts",
        per_protein_folder=tables,
        min_arcs=1,
        **options,
    )
    result.save(folder / "result", tables)
    return result


def proteins(lengths=(60, 40, 75, 52, 66, 31, 58, 90, 44, 70), seed=0, first=0):
    """Random proteins named p0, p1, ..."""
    found = analysis_cases.random_proteins(lengths, seed)
    return [replace(protein, id=f"p{number + first}") for number, protein in enumerate(found)]
