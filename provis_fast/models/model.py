"""An encoder with what the engine needs to know of it: sizes, tokens, positions, identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from provis_fast.errors import ArgumentError, InputError, ModelError
from provis_fast.models.origin import Origin
from provis_fast.models.routing import route
from provis_fast.models.tokens import TokenTable

# Parts of an encoder that no attention depends on. They may be missing from a checkpoint, are not
# kept in memory, and do not count in the digest: an encoder is the same with or without them.
UNUSED_PARTS = ("pooler", "contact_head")

# What of a config decides the numbers that come out, whatever the version that wrote it.
_ARCHITECTURE = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "embedding_size",
    "num_hidden_layers",
    "num_hidden_groups",
    "inner_group_num",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "max_position_embeddings",
    "position_embedding_type",
    "rope_theta",
    "rope_parameters",
    "token_dropout",
    "emb_layer_norm_before",
    "pad_token_id",
)
# The same, of families that came later: their absence does not count in the digest of the others.
_ARCHITECTURE_OF_SOME = (
    "activation",
    "clamp_len",
    "d_inner",
    "d_kv",
    "feed_forward_proj",
    "ff_activation",
    "hidden_activation",
    "layer_norm_epsilon",
    "layer_types",
    "local_attention",
    "norm_eps",
    "relative_attention_max_distance",
    "relative_attention_num_buckets",
    "rotary_value",
    "use_task_id",
)


class Model:
    """An encoder, its tokens, and how to run several proteins through it in one row.

    Parameters
    ----------
    module : transformers.PreTrainedModel
        An encoder, with or without a head; it is not changed.
    tokenizer : transformers.PreTrainedTokenizerBase or TokenTable
    name : str
    revision : str, optional
        Commit of the hub repository it came from.

    Attributes
    ----------
    name, family : str
    module : transformers.PreTrainedModel
        The bare encoder.
    tokens : TokenTable
    n_layers, n_heads, head_size : int
    max_residues : int or None
        Longest protein, where positions come from a table; None where they are relative.
    packs : bool
        Whether several proteins can run in one row; else it is not known how positions count.
    device : torch.device
    dtype : torch.dtype
    revision : str or None
    origin : Origin or None
        Where `load_model` found it; None of a model that was made otherwise.

    Raises
    ------
    ModelError
        If the model's class or its tokenizer cannot be used; the message says why.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | TokenTable,
        name: str,
        revision: str | None = None,
    ):
        routing = route(module)
        config = routing.encoder.config
        self.name = name
        self.family = routing.family.name
        self.module = routing.encoder
        given = isinstance(tokenizer, TokenTable)
        self.tokens = tokenizer if given else TokenTable.from_tokenizer(tokenizer, name)
        self.n_layers = routing.n_layers
        self.n_heads = routing.n_heads
        named = (getattr(config, name, None) for name in ("d_kv", "head_dim"))  # T5's, others'
        self.head_size = int(next(filter(None, named), config.hidden_size // self.n_heads))
        self.revision = revision
        self.origin: Origin | None = None
        self.packs = routing.family.packs
        first = routing.family.first_position
        self._first_position = first(config) if first is not None else None
        self._positions = routing.family.positions
        self._options = dict(routing.family.options)
        self._max_tokens = routing.family.max_tokens(config)
        specials = self.tokens.n_prefix + self.tokens.n_suffix
        self.max_residues = None if self._max_tokens is None else self._max_tokens - specials
        highest = max(int(self.tokens.table.max()), *self.tokens.prefix, *self.tokens.suffix, 0)
        if highest >= config.vocab_size:
            raise ModelError(
                f"the tokenizer of {name} gives token {highest}, but the model knows "
                f"{config.vocab_size} tokens: it is another model's tokenizer"
            )

    def __repr__(self) -> str:
        longest = "any length" if self.max_residues is None else f"up to {self.max_residues}"
        return (
            f"Model({self.name!r}, {self.family}: {self.n_layers} layers x {self.n_heads} heads x "
            f"{self.head_size}, {longest} residues, {self.dtype} on {self.device})"
        )

    @property
    def device(self) -> torch.device:
        return self.module.device

    @property
    def dtype(self) -> torch.dtype:
        return self.module.dtype

    @property
    def config(self) -> dict[str, Any]:
        """The part of the model's config that decides its numbers; JSON."""
        config = self.module.config
        keys = _ARCHITECTURE + _ARCHITECTURE_OF_SOME
        return {key: getattr(config, key) for key in keys if hasattr(config, key)}

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of `config` and of every weight as loaded."""
        return weights_digest(self.module)

    def inputs(self, ids: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Arguments of a forward pass with several proteins in one row.

        There is no attention mask: that proteins do not see each other is left to the attention
        that `routed` puts in, which must know where each one ends. Nothing else in a forward pass
        mixes tokens, except that ESM scales embeddings by the share of ``<mask>`` tokens in a row;
        a `TokenTable` makes none.

        Parameters
        ----------
        ids : sequence of np.ndarray
            int64 ``[n_s]`` each, from ``tokens.encode``.

        Returns
        -------
        dict
            ``input_ids`` and positions, int64 ``[1, T]`` on the model's device, with T the sum of
            n_s. Positions begin anew with each protein; they have the name under which the family
            takes them, ``position_ids`` for most. ``input_ids`` alone where it takes none, or does
            not pack. And options that the family asks for (``use_mems=False``).

        Raises
        ------
        ArgumentError
            If `ids` is empty, or has several proteins for a model that does not pack.
        InputError
            If a protein is longer than the model's positions.
        """
        if not len(ids):
            raise ArgumentError("ids: expected at least one protein, got none")
        lengths = np.array([len(one) for one in ids])
        if self._max_tokens is not None and lengths.max() > self._max_tokens:
            at = int(lengths.argmax())
            specials = self.tokens.n_prefix + self.tokens.n_suffix
            raise InputError(
                f"protein {at + 1} of the batch has {lengths[at] - specials} residues; {self.name} "
                f"has positions for {self.max_residues}: leave it out or cut it"
            )
        if not self.packs:
            if len(ids) > 1:
                raise ArgumentError(
                    f"ids: expected one protein at a time for a model of type {self.family!r}, got "
                    f"{len(ids)}: how it counts positions is not known"
                )
            row = torch.from_numpy(ids[0]).unsqueeze(0)
            return {"input_ids": row.to(self.device, non_blocking=True)}
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        rows = {"input_ids": np.concatenate(ids)}
        if self._positions is not None:
            rows[self._positions] = positions + (self._first_position or 0)
        tensors = {
            name: torch.from_numpy(row).unsqueeze(0).to(self.device, non_blocking=True)
            for name, row in rows.items()
        }
        return tensors | self._options

    def summary(self) -> dict[str, Any]:
        """What results keep of the model; JSON."""
        return {
            "name": self.name,
            "family": self.family,
            "digest": self.digest,
            "dtype": str(self.dtype).removeprefix("torch."),
            "layers": self.n_layers,
            "heads": self.n_heads,
        }


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256, in hexadecimal, of an encoder's architecture and weights.

    Parameters
    ----------
    module : nn.Module
        As for `route`. Heads, poolers and contact heads do not count.

    Raises
    ------
    ModelError
        As `route`.
    """
    encoder = route(module).encoder
    config = encoder.config
    summary = {key: getattr(config, key, None) for key in _ARCHITECTURE}
    some = (key for key in _ARCHITECTURE_OF_SOME if hasattr(config, key))
    summary |= {key: getattr(config, key) for key in some}
    digest = hashlib.sha256(json.dumps(summary, sort_keys=True, default=str).encode())
    for name, weights in sorted(encoder.state_dict().items()):
        if name.startswith(UNUSED_PARTS):
            continue
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        flat = weights.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
