"""Atoms near other atoms, within the coordinates of one model: no images by crystal symmetry."""

from __future__ import annotations

import numpy as np

#: The search looks a little farther than asked; the last word is left to the distance in doubles.
_MARGIN = 1e-6


def squared_distances(
    points: np.ndarray, others: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of points that are about `radius` apart or less.

    Parameters
    ----------
    points, others : ndarray, float64 [N, 3] and [M, 3]
        Finite coordinates.
    radius : float
        In the same unit.

    Returns
    -------
    first, second : ndarray, int64 [P]
        Indices into `points` and `others`: all pairs within the radius, and perhaps some within a
        millionth more, in no order.
    distance2 : ndarray, float64 [P]
        Squared distance of each.
    """
    if not len(points) or not len(others):
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0)
    from scipy.spatial import KDTree  # a tenth of a second, and most analyses do without

    found = KDTree(points).sparse_distance_matrix(
        KDTree(others), radius * (1 + _MARGIN), output_type="ndarray"
    )
    first, second = found["i"].astype(np.int64), found["j"].astype(np.int64)
    difference = points[first] - others[second]
    squares = difference * difference
    return first, second, squares[:, 0] + squares[:, 1] + squares[:, 2]
