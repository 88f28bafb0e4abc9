"""How often tests find something where there is nothing: protein-level t-test beside the z-test.

    python benchmarks/calibration.py [--data-sets 10000] [--proteins 10,50,200,1000] [--out FILE]

Null data sets are simulated in which a head is indifferent to a property, but the arcs of a
protein are correlated, as those of real heads are, and are analysed by the package's own code:
counts are added to a result, and `infer` is asked for its table. For a nominal 5% it counts how
often the tests reject, and how often 95% intervals of the proportion hold the true one.

A protein of L residues (log-normal) has a composition of its own: its share of the class is drawn
from a beta distribution, its residues in the class from a binomial. Its arcs are Poisson with a
mean proportional to L that varies from protein to protein (log-normal). How many of them are in the
class is beta-binomial: its mean is the protein's own share b, and the arcs' correlation is rho. The
parameters of `DESIGNS` are near what heads of ESM-2 8M show on 1,418 proteins of a set of binding
sites (arcs of a protein vary with a coefficient of variation of 0.95; the composition's
concentration is about 90 for amino acids and 11 for binding sites, rho 0.09 and 0.3) and on 50
chains of the PDB (secondary structure: 6 and 0.15).

What there is to see: the z-test takes correlated arcs for independent ones and rejects several
times too often. The t-test keeps its level from 50 proteins on where a class is not rare. Where it
is rare and its arcs come in bursts, the sum over proteins is skewed, and the level is reached only
with hundreds of proteins, or thousands; it then rejects too often on one side, "fewer than
expected" (a sample that happens to have no burst also looks as if there were none), and too rarely
on the other, "more than expected", which is what one mostly asks.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import machine
import numpy as np

from provis_fast.statistics import HeadStatistics, PropertySpec

LEVEL = 0.05
#: Data sets that are heads of one result: they share proteins, lengths and composition.
HEADS = 10
PROTEINS = (10, 50, 200, 1000)
MEDIAN_LENGTH, LENGTH_SIGMA = 215.0, 0.66
#: Requirement for the designs that are marked: rejections of the t-test at a nominal 5%.
REQUIRED, REQUIRED_FOR = (0.04, 0.06), (50, 200, 1000)


@dataclass(frozen=True)
class Design:
    """How null data sets are drawn.

    Parameters
    ----------
    name : str
    share : float
        Mean share of the class among residues.
    concentration : float
        Of the beta distribution of a protein's share; small where composition varies much.
    rho : float
        Correlation of two arcs of a protein.
    arcs : float
        Mean arcs of a protein.
    arcs_sigma : float
        Of the log-normal factor by which proteins of equal length differ in arcs.
    required : bool
        Whether the t-test has to keep its level here.
    """

    name: str
    share: float
    concentration: float
    rho: float
    arcs: float = 40.0
    arcs_sigma: float = 0.5
    required: bool = False


DESIGNS = (
    Design("independent arcs", 0.05, 90.0, 0.0, required=True),
    Design("secondary structure", 0.4, 8.0, 0.15, required=True),
    Design("a fifth of the residues", 0.2, 15.0, 0.09, required=True),
    Design("amino acid", 0.05, 90.0, 0.09),
    Design("binding site", 0.05, 11.0, 0.3),
    Design("few arcs of a rare class", 0.01, 90.0, 0.09, arcs=8.0),
    Design("a few proteins with most arcs", 0.05, 90.0, 0.09, arcs_sigma=1.5),
)


def null_result(design: Design, n_proteins: int, rng: np.random.Generator) -> HeadStatistics:
    """A result whose `HEADS` heads are null data sets of `n_proteins` proteins each."""
    lengths = np.exp(rng.normal(np.log(MEDIAN_LENGTH), LENGTH_SIGMA, n_proteins))
    lengths = np.maximum(lengths.astype(np.int64), 20)
    share = rng.beta(
        design.share * design.concentration, (1 - design.share) * design.concentration, n_proteins
    )
    in_class = rng.binomial(lengths, share)
    mean_length = MEDIAN_LENGTH * math.exp(LENGTH_SIGMA**2 / 2)
    shape = (n_proteins, HEADS)
    factor = np.exp(rng.normal(-(design.arcs_sigma**2) / 2, design.arcs_sigma, shape))
    eligible = rng.poisson(design.arcs * lengths[:, None] / mean_length * factor)
    own = np.broadcast_to((in_class / lengths)[:, None], shape)
    chance = own
    if design.rho:
        spread = (1 - design.rho) / design.rho
        some = (own > 0) & (own < 1)
        chance = own.copy()
        chance[some] = rng.beta(own[some] * spread, (1 - own[some]) * spread)
    count = rng.binomial(eligible, chance)
    result = HeadStatistics.empty(
        (0,), 1, HEADS, (0.3,), True, (PropertySpec("null", "key_class", ("class",)),), min_arcs=1
    )
    numbers = np.stack([eligible, eligible, count], axis=-1)  # arcs, eligible, in the class
    result.add(
        numbers[:, None, None],
        None,
        None,
        in_class[:, None],
        lengths[:, None],
        int(lengths.sum()),
    )
    return result


def calibrate(design: Design, n_proteins: int, n_data_sets: int, seed: int = 0) -> dict:
    """Rates over null data sets.

    Returns
    -------
    dict
        data_sets; t_test and z_test, shares of the tests (defined ones) with p < `LEVEL`; of these
        t_test_above and z_test_above say "more than expected" (nominal: `LEVEL` / 2); undefined,
        share of data sets without a t-test; coverage of the true share by the cluster-robust
        interval, by Wald's and by Wilson's.
    """
    # A generator per block, so that results do not depend on what else is computed.
    blocks = -(-n_data_sets // HEADS)
    seeds = np.random.SeedSequence([seed, n_proteins]).spawn(blocks)
    intervals = ("low", "high", "wald_low", "wald_high", "wilson_low", "wilson_high")
    names = ("log_p", "t", "log_p_z", "z", *intervals)
    pieces = []
    for block in seeds:
        result = null_result(design, n_proteins, np.random.default_rng(block))
        pieces.append(result.infer(confidence=1 - LEVEL)[list(names)].to_numpy())
    found = dict(zip(names, np.concatenate(pieces)[:n_data_sets].T, strict=True))

    def rejected(log_p: np.ndarray, above: np.ndarray | bool = True) -> float:
        tested = ~np.isnan(log_p)
        return float(np.mean(((log_p < math.log(LEVEL)) & above)[tested]))

    def covered(low: np.ndarray, high: np.ndarray) -> float:
        known = ~np.isnan(low)
        return float(np.mean((low <= design.share)[known] & (design.share <= high)[known]))

    return {
        "data_sets": len(found["log_p"]),
        "t_test": rejected(found["log_p"]),
        "t_test_above": rejected(found["log_p"], found["t"] > 0),
        "z_test": rejected(found["log_p_z"]),
        "z_test_above": rejected(found["log_p_z"], found["z"] > 0),
        "undefined": float(np.mean(np.isnan(found["log_p"]))),
        "coverage": covered(found["low"], found["high"]),
        "coverage_wald": covered(found["wald_low"], found["wald_high"]),
        "coverage_wilson": covered(found["wilson_low"], found["wilson_high"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=10_000)
    parser.add_argument("--proteins", default=",".join(map(str, PROTEINS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.proteins.split(",")]
    rows = []
    print(
        f"nominal {LEVEL:.0%}, {arguments.data_sets:,} null data sets each: rejections of the "
        "t-test over proteins and of the z-test over arcs; coverage of 95% intervals of the "
        "proportion"
    )
    for design in DESIGNS:
        print(f"{design.name} (share {design.share}, rho {design.rho}):")
        for n_proteins in sizes:
            begin = time.perf_counter()
            rates = calibrate(design, n_proteins, arguments.data_sets, arguments.seed)
            low, high = REQUIRED
            kept = low <= rates["t_test"] <= high
            rows.append({"design": design.name, "proteins": n_proteins, **rates, "kept": kept})
            print(
                f"  {n_proteins:5d} proteins: t {rates['t_test']:6.2%} (above: "
                f"{rates['t_test_above']:.2%}), z {rates['z_test']:6.2%}; "
                f"robust {rates['coverage']:6.2%}, Wald {rates['coverage_wald']:6.2%}, "
                f"Wilson {rates['coverage_wilson']:6.2%}"
                f"{'' if kept else '   outside 4-6%'}"
                f"   ({time.perf_counter() - begin:.0f} s)",
                flush=True,
            )
    if arguments.out:
        report = {
            "machine": machine.describe(),
            "level": LEVEL,
            "required": {"t_test": REQUIRED, "proteins": REQUIRED_FOR},
            "seed": arguments.seed,
            "designs": [asdict(design) for design in DESIGNS],
            "rates": rows,
        }
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
