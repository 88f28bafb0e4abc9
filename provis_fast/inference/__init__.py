"""Inference on heads: intervals, tests and corrections, from the exact sums of a result.

`provis_fast.inference.table.infer` puts everything into one table, a row per layer, head, property,
class, statistic and threshold; it explains every column. The other modules hold a piece of it each:

`proportions`
    What the paper did, with every arc as an observation of its own: Wald and Wilson intervals and
    the two-proportion z-test against the background. Pairs within a protein are not independent, so
    that these intervals are too narrow and these p-values too small.
`unit_sums`, `clusters`
    The same questions with proteins as the observations (or clusters of similar ones): a one-sample
    t-test of y - n b, and cluster-robust intervals.
`units`
    Sums over clusters of proteins, from the tables of single proteins.
`log_probabilities`, `multiplicity`
    Logarithms of p-values, which do not underflow, and their correction for many tests.
`resampling`
    Percentile intervals and null distributions from the replicates that an analysis accumulated.
"""

from __future__ import annotations
