"""Heads ranked by the share of their arcs that are contacts of this structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from provis_fast.viewing.chains import ViewChain
from provis_fast.viewing.forward import HeadArcs


def ranked_heads(
    chains: Sequence[ViewChain],
    arcs: Sequence[HeadArcs],
    n_heads: int,
    separation: int,
    min_arcs: int,
) -> pd.DataFrame:
    """Contact statistics of every head over all chains, as `provis_fast.analyze` counts them.

    Parameters
    ----------
    chains : sequence of ViewChain
    arcs : sequence of HeadArcs
        Of each chain.
    n_heads : int
        Per layer.
    separation : int
        Least distance along the chain of a pair that counts.
    min_arcs : int
        Heads with fewer eligible arcs have no proportion.

    Returns
    -------
    DataFrame
        layer, head (from 0), arcs, eligible, contacts (int64), proportion (NaN where there are too
        few), background. Best first: by proportion, then by eligible arcs; heads without a
        proportion come last.
    """
    n = len(arcs[0].starts) - 1
    total, eligible, contacts = np.zeros((3, n), dtype=np.int64)
    for chain, found in zip(chains, arcs, strict=True):
        sizes = np.diff(found.starts.astype(np.int64))
        head = np.repeat(np.arange(n), sizes)
        known = chain.eligible(found.query, found.key, separation)
        touching = known & chain.in_contact(found.query, found.key)
        total += sizes
        eligible += np.bincount(head[known], minlength=n)
        contacts += np.bincount(head[touching], minlength=n)
    enough = eligible >= max(1, min_arcs)
    proportion = np.full(n, np.nan)
    proportion[enough] = contacts[enough] / eligible[enough]
    pairs = sum(chain.n_pairs(separation) for chain in chains)
    touching_pairs = 2 * sum(len(chain.contacts) for chain in chains)
    table = pd.DataFrame(
        {
            "layer": np.arange(n) // n_heads,
            "head": np.arange(n) % n_heads,
            "arcs": total,
            "eligible": eligible,
            "contacts": contacts,
            "proportion": proportion,
            "background": touching_pairs / pairs if pairs else np.nan,
        }
    )
    order = np.lexsort((-total, -eligible, -np.where(enough, proportion, -1.0)))
    return table.iloc[order].reset_index(drop=True)
