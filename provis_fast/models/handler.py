"""What computes the attention of a routed model: its arguments, and how it ends a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

#: ``handler(layer, query, key, value, mask, scale, **terms) -> output``: ``layer`` counts from 0;
#: query, key and value are ``[B, H, L, D]`` strided views; ``mask`` is bool ``[B, L]``, True where
#: a token may be attended to, or None; ``terms`` are arguments of `ops.attention_statistics_` that
#: some families need, out of `TERMS`; the output is ``[B, L, H, D]``.
Handler = Callable[..., Tensor]

#: Terms of a score besides the product of query and key.
TERMS = frozenset({"relative_bias", "window", "position_query", "position_key"})


class StopForward(Exception):
    """Raised by a handler to end the forward pass: what follows is not needed.

    Whoever called the model catches it.
    """


def packed_terms(terms: dict[str, Any]) -> dict[str, Any]:
    """Terms of a handler of one row, [1, H, T, D], as packed sequences have them, [T, H, D]."""
    rows = terms.get("position_query")
    return terms if rows is None else {**terms, "position_query": rows[0].transpose(0, 1)}
