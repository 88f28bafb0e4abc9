"""Sliding windows, as transformers' local layers have them.

A layer passes its window to attention by keyword, and the model asks for a mask that says the same
for every pair of tokens. The kernels take the number; no mask is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def window_term(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the window of a local layer out of the keyword arguments of its attention.

    ``sliding_window`` counts as the kernels' ``window``: tokens that far apart, or further, do not
    see each other.
    """
    kwargs.pop("deterministic", None)  # of flash attention's backward pass
    window = kwargs.pop("sliding_window", None)
    return {} if window is None else {"window": int(window)}


def is_window(mask_function: Callable[..., Any], window: int) -> bool:
    """Whether a mask function lets tokens see each other where ``abs(i - j) < window``; tried."""
    offsets = torch.tensor([0, 1, window - 1, window, window + 1, 2 * window + 1])
    offsets = torch.cat([-offsets, offsets])
    query = torch.full_like(offsets, 4 * window)
    zero = torch.zeros_like(offsets)
    seen = mask_function(zero, zero, query, query + offsets)
    return torch.equal(seen, offsets.abs() < window)
