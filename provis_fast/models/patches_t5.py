"""T5 encoders: the relative position bias as one vector per head.

T5 adds a learned number to every score that depends on the head and on j - i alone. transformers
looks it up for all pairs, a tensor [1, H, L, L], in the first layer (UMT5: in every one). Only its
2 L - 1 different numbers are looked up here; they travel to the attention in the same argument and
become the kernel's `relative_bias`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from provis_fast.errors import ModelError
from provis_fast.models.patching import Attend, replaced


@contextmanager
def vector_bias(encoder: PreTrainedModel, attend: Attend) -> Iterator[None]:
    """Patch of T5, mT5 and UMT5 encoders; their attention itself goes through the interface."""
    having = [m for m in encoder.modules() if getattr(m, "has_relative_attention_bias", False)]
    with replaced(having, "compute_bias", _compute_bias):
        yield


def _compute_bias(
    part: nn.Module,
    query_length: int,
    key_length: int,
    device: torch.device | None = None,
    past_seen_tokens: int = 0,
) -> Tensor:
    """Bias of the pairs with j - i = -(L - 1), ..., L - 1, [1, H, 1, 2 L - 1], as `compute_bias`.

    A single query in the middle of twice as many keys sees all these distances.
    """
    if query_length != key_length or past_seen_tokens:
        raise ModelError(
            f"{type(part).__name__} asks for the bias of {query_length} queries and {key_length} "
            f"keys ({past_seen_tokens} of them cached); only encoders without a cache can be run"
        )
    return type(part).compute_bias(
        part, 1, 2 * key_length - 1, device=device, past_seen_tokens=key_length - 1
    )


def bias_term(kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Take the bias out of the arguments of an attention call: [H, 2 L - 1] in float32."""
    bias = kwargs.pop("position_bias")
    if bias.dim() != 4 or bias.shape[0] != 1 or bias.shape[2] != 1:
        raise ModelError(
            f"position_bias of shape {list(bias.shape)}: expected [1, heads, 1, 2 * tokens - 1], "
            "as the encoder makes it while it is analysed; biases of one's own are not supported"
        )
    return {"relative_bias": bias[0, :, 0].float()}
