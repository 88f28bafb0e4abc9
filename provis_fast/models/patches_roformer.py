"""RoFormer: its attention, which it computes itself, handed over after the rotation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.roformer.modeling_roformer import (
    RoFormerSelfAttention,
    RoFormerSinusoidalPositionalEmbedding,
)

from provis_fast.errors import ModelError
from provis_fast.models.patching import Attend, replaced

#: Argument of the model's forward that carries positions down to the layers. Not `position_ids`:
#: RoFormer takes that and ignores it, and must go on doing so in somebody else's pipeline.
POSITIONS = "packed_positions"


@contextmanager
def self_attention(encoder: PreTrainedModel, attend: Attend) -> Iterator[None]:
    """Patch of RoFormer encoders."""
    parts = list(encoder.modules())
    tables = [part for part in parts if type(part) is RoFormerSinusoidalPositionalEmbedding]
    layers = [part for part in parts if type(part) is RoFormerSelfAttention]
    with (
        replaced(tables, "forward", _whole_table),
        replaced(layers, "forward", partial(_forward, attend=attend)),
    ):
        yield


def _whole_table(
    part: nn.Module,
    input_ids_shape: torch.Size,
    past_key_values_length: int = 0,
    position_ids: Tensor | None = None,
) -> Tensor:
    """Rows of all positions, [P, D]: a packed row begins anew, so its tokens may outnumber them."""
    return part.weight


def _forward(
    part: nn.Module,
    hidden_states: Tensor,  # [B, L, hidden]
    attention_mask: Tensor | None = None,  # [B, L]
    sinusoidal_pos: Tensor | None = None,  # [1, 1, P, D]
    encoder_hidden_states: Tensor | None = None,
    past_key_values: Any = None,
    output_attentions: bool = False,
    packed_positions: Tensor | None = None,  # int64 [1, L]
    *,
    attend: Attend,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """RoFormerSelfAttention.forward."""
    if encoder_hidden_states is not None or past_key_values is not None:
        raise ModelError(
            "RoFormer was called with encoder_hidden_states or past_key_values; only its own "
            "tokens can be attended to while it is analysed"
        )
    batch, length, _ = hidden_states.shape
    heads = (batch, length, part.num_attention_heads, part.attention_head_size)
    rotated = [
        linear(hidden_states).view(heads).transpose(1, 2) for linear in (part.query, part.key)
    ]
    value = part.value(hidden_states).view(heads).transpose(1, 2)
    if part.rotary_value:
        rotated.append(value)
    angles = _rows(sinusoidal_pos, length, packed_positions)
    rotated = part.apply_rotary_position_embeddings(angles, *rotated)
    query, key, value = rotated if part.rotary_value else (*rotated, value)
    output = attend(
        part,
        query,
        key,
        value,
        attention_mask,
        scaling=part.attention_head_size**-0.5,
        output_attentions=output_attentions,
    )
    return output.flatten(2), None


def _rows(table: Tensor, length: int, positions: Tensor | None) -> Tensor:
    """Sines and cosines of a row's tokens, [1, 1, L, D]."""
    if positions is not None:
        return table[:, :, positions[0]]
    if length > table.shape[2]:
        raise ModelError(
            f"RoFormer was given {length} tokens in a row, but it has positions for "
            f"{table.shape[2]} (max_position_embeddings): cut the sequence"
        )
    return table[:, :, :length]
