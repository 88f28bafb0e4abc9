"""What is measured, as a user asks for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from provis_fast.errors import ArgumentError
from provis_fast.measures import Measures


def measures(**options) -> Measures:
    arguments = dict(properties=(), threshold=0.3, layers=None, n_layers=2, n_heads=2)
    return Measures.checked(**(arguments | options))


def test_numbers_of_numpy_are_numbers():
    found = measures(threshold=np.float32(0.25), min_arcs=np.int64(7), layers=np.array([1]))
    assert (found.thresholds, found.scalar_threshold) == ((0.25,), True)
    assert (found.min_arcs, found.layers) == (7, (1,))
    assert type(found.thresholds[0]) is float and type(found.min_arcs) is int
    several = measures(threshold=np.array([0.5, 0.25]))
    assert (several.thresholds, several.scalar_threshold) == ((0.5, 0.25), False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            (dict(threshold=theta), "threshold: expected a number")
            for theta in (True, [0.3, False], "0.3", None, torch.tensor(0.3), np.array(0.3), 2)
        ],
        (dict(threshold=()), "threshold: expected at least one"),
        (dict(threshold=(0.3, 0.3)), "threshold: expected every number once"),
        *[
            (dict(min_arcs=n), "min_arcs: expected an integer of at least 0")
            for n in (-1, True, 1.0, "100", None)
        ],
    ],
)
def test_other_types_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        measures(**options)
