"""XLNet: its relative attention handed over, with no matrix of tokens x tokens on the way.

XLNet scores a pair by content, by position and, where token types are given, by whether the types
agree (arXiv 1906.08237):

    scale * ((q_i + r_w_bias) . k_j + (q_i + r_r_bias) . r[j - i] + (q_i + r_s_bias) . s[i, j])

The second product is what the kernels take as terms of relative position. The third, with
s[i, j] = seg_embed[types differ], is the same for all keys of a query, which softmax does not see,
plus (q_i + r_s_bias) . (seg_embed[1] - seg_embed[0]) for keys of another type: one more coordinate
of queries and keys for each type.

transformers makes a mask and a table of segments, each tokens x tokens, before the first layer; so
the encoder's ``forward`` is patched too, and keeps mask and types to itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.xlnet.modeling_xlnet import XLNetRelativeAttention

from provis_fast.errors import ModelError
from provis_fast.models.patching import Attend, replaced

#: Argument of the patched forward that carries the positions of packed proteins: from it follows
#: for how many distances position keys are needed. `position_ids` XLNet ignores.
POSITIONS = "packed_positions"


def in_order(config: PreTrainedConfig, attention: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
    """One attention module per layer; refuses what is no encoder whose tokens see each other."""
    if config.attn_type != "bi" or config.bi_data:
        raise ModelError(
            f"this XLNet has attn_type={config.attn_type!r} and bi_data={config.bi_data}; expected "
            "'bi' and False, with which every token sees the whole sequence"
        )
    if len(attention) != config.n_layer:
        raise ModelError(
            f"{len(attention)} attention modules for n_layer={config.n_layer} in an XLNet: its "
            "layers cannot be told apart"
        )
    return tuple(attention)


@contextmanager
def relative_attention(encoder: PreTrainedModel, attend: Attend) -> Iterator[None]:
    """Patch of XLNet encoders."""
    state = threading.local()  # of this thread's forward pass
    layers = [part for part in encoder.modules() if type(part) is XLNetRelativeAttention]
    with (
        replaced([encoder], "forward", partial(_forward, state=state)),
        replaced([encoder], "relative_positional_encoding", partial(_positions, state=state)),
        replaced(layers, "rel_attn_core", partial(_core, attend=attend, state=state)),
    ):
        yield


def _forward(
    part: nn.Module,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,  # [B, L]
    mems: Any = None,
    perm_mask: Tensor | None = None,
    target_mapping: Tensor | None = None,
    token_type_ids: Tensor | None = None,  # int64 [B, L]
    input_mask: Tensor | None = None,
    *rest: Any,
    state: threading.local,
    packed_positions: Tensor | None = None,  # int64 [1, L], from 0 with each protein
    **kwargs: Any,
) -> Any:
    """XLNetModel.forward."""
    for name, given, advice in (
        ("mems", mems, "give the whole sequence at once"),
        ("perm_mask", perm_mask, "every token sees all others"),
        ("target_mapping", target_mapping, "leave it out"),
        ("input_mask", input_mask, "give attention_mask, its opposite"),
    ):
        if given is not None:
            raise ModelError(f"XLNet cannot be analysed with {name}: {advice}")
    state.mask = None if attention_mask is None else attention_mask != 0
    state.types = token_type_ids
    state.longest = None if packed_positions is None else int(packed_positions.max()) + 1
    state.running = True
    try:
        nothing = (None,) * 6
        return type(part).forward(part, input_ids, *nothing, *rest, **kwargs)
    finally:
        vars(state).clear()


def _positions(
    part: nn.Module,
    qlen: int,
    klen: int,
    bsz: int | None = None,
    device: torch.device | None = None,
    *,
    state: threading.local,
) -> Tensor:
    """XLNetModel.relative_positional_encoding: [2 n, 1, hidden], row n - (i - j).

    n is the length of the longest protein, and one copy serves the whole batch.
    """
    n = getattr(state, "longest", None) or qlen
    return type(part).relative_positional_encoding(part, n, n, device=device)


def _core(
    part: nn.Module,
    q_head: Tensor,  # [L, B, H, D]
    k_head_h: Tensor,
    v_head_h: Tensor,
    k_head_r: Tensor,  # [2 n, 1, H, D]
    seg_mat: Tensor | None = None,
    attn_mask: Tensor | None = None,
    output_attentions: bool = False,
    *,
    attend: Attend,
    state: threading.local,
) -> Tensor:  # [L, B, H, D]
    """XLNetRelativeAttention.rel_attn_core."""
    if not getattr(state, "running", False) or seg_mat is not None or attn_mask is not None:
        raise ModelError(
            "the attention of XLNet ran outside a forward pass of its XLNetModel; call the model, "
            "not its layers"
        )
    query, position_query = q_head + part.r_w_bias, q_head + part.r_r_bias
    key, value, position_key = k_head_h, v_head_h, k_head_r[:, 0]
    size = q_head.shape[-1]
    types = None if state.types is None else _same_type(state.types)
    if types is not None:
        other = part.seg_embed[1] - part.seg_embed[0]  # [H, D]
        weight = torch.einsum("ibnd,nd->ibn", q_head + part.r_s_bias, other)
        of_tokens = types[:, :, None, :].to(query.dtype).expand(*query.shape[:3], -1)
        query = torch.cat([query, weight[..., None] * (1 - of_tokens)], -1)
        key = torch.cat([key, of_tokens], -1)
        widen = partial(nn.functional.pad, pad=(0, types.shape[-1]))
        value, position_query, position_key = map(widen, (value, position_query, position_key))
    output = attend(
        part,
        *(x.permute(1, 2, 0, 3) for x in (query, key, value)),
        state.mask,
        scaling=part.scale,
        position_query=position_query.permute(1, 2, 0, 3),
        position_key=position_key,
        output_attentions=output_attentions,
    )
    return output.transpose(0, 1)[..., :size]


def _same_type(token_types: Tensor) -> Tensor | None:
    """Token types, int [B, L], as bool [L, B, types] that say which one; None where all agree."""
    different = token_types.unique()
    if len(different) < 2:
        return None
    return token_types.T[:, :, None] == different
