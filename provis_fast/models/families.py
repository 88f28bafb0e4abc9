"""What differs between the model families: order of attention calls, and how positions count.

A family whose attention goes through transformers' attention interface needs one entry in
`FAMILIES` and a row in ``tests/tiny_models.py``, and is packed; nothing else in the package asks
for a model's type, but for what `provis-fast doctor` says of positions. Without an entry its
proteins are run one by one. One whose attention does not, or forms a matrix on the way there, also
needs a patch that hands it over (`Family.patch`), in a file of its own; without one it is refused,
for a reason given in `UNSUPPORTED` where the class alone does not tell.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.roformer.modeling_roformer import RoFormerSelfAttention
from transformers.models.xlnet.modeling_xlnet import XLNetRelativeAttention

from provis_fast.errors import ModelError
from provis_fast.models import patches_roformer, patches_t5, patches_xlnet, windows
from provis_fast.models.patching import Attend


def _in_order(config: PreTrainedConfig, attention: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
    """One attention module per layer, called in the order in which they are defined."""
    layers = getattr(config, "num_hidden_layers", None)
    if len(attention) != layers:
        raise ModelError(
            f"{len(attention)} attention modules for num_hidden_layers={layers} in a model of type "
            f"{config.model_type!r}: its layers cannot be told apart"
        )
    return tuple(attention)


def _albert_order(
    config: PreTrainedConfig, attention: Sequence[nn.Module]
) -> tuple[nn.Module, ...]:
    """ALBERT shares modules: layer i runs group ``i // (layers / groups)``, whole."""
    inner = config.inner_group_num
    layers_per_group = config.num_hidden_layers / config.num_hidden_groups
    calls: list[nn.Module] = []
    for layer in range(config.num_hidden_layers):
        group = int(layer / layers_per_group)
        calls += attention[group * inner : (group + 1) * inner]
    return tuple(calls)


def _from_zero(config: PreTrainedConfig) -> int | None:
    return 0


def _after_padding(config: PreTrainedConfig) -> int | None:
    """As in fairseq: padding has the position of its own id, and counting starts behind it."""
    return config.pad_token_id + 1


def _relative(config: PreTrainedConfig) -> int | None:
    return None


def _esm_positions(config: PreTrainedConfig) -> int | None:
    return None if config.position_embedding_type == "rotary" else _after_padding(config)


@dataclass(frozen=True)
class Family:
    """How one family of encoders is run.

    Attributes
    ----------
    name : str
        ``config.model_type`` of its models.
    first_position : callable
        Config -> position id of a sequence's first token, or None where positions are relative
        and any id will do. None instead of a callable: not known, so several proteins cannot be
        packed in one row.
    schedule : callable
        Config and attention modules, in the order of definition -> the module called in each
        layer, ``[n_layers]``. One module may serve many layers.
    positions : str or None
        Argument of the encoder's forward that takes positions, int64 ``[1, T]``; None where it
        takes none and needs none.
    attention_class : type, optional
        Class of the attention modules, where these do not call the attention interface: the patch
        makes exactly this class hand over what it attends with.
    patch : callable, optional
        Encoder and `Attend` function -> context manager. Inside it the encoder gives each layer's
        queries, keys and values to that function, or to the attention interface in a form that the
        kernels take. It replaces attributes of instances alone, see `patching.replaced`, and is
        entered by `routed` for the time of routing.
    terms : callable, optional
        Called with the keyword arguments of each call of the attention interface: takes out those
        that it understands and returns the terms of the handler that they stand for.
    window : callable, optional
        Config -> window of the local layers, whose mask may then be asked for: `terms` carries it.
    options : mapping
        Further arguments of the encoder's forward, for analyses of our own.
    on_gpu : bool
        Whether the kernels for GPUs take all that its attention adds to the scores.
    """

    name: str
    first_position: Callable[[PreTrainedConfig], int | None] | None = None
    schedule: Callable[[PreTrainedConfig, Sequence[nn.Module]], tuple[nn.Module, ...]] = _in_order
    positions: str | None = "position_ids"
    attention_class: type[nn.Module] | None = None
    patch: Callable[[PreTrainedModel, Attend], AbstractContextManager[None]] | None = None
    terms: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    window: Callable[[PreTrainedConfig], int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    on_gpu: bool = True

    @property
    def packs(self) -> bool:
        """Whether several proteins can be packed in one row; else they are run one by one."""
        return self.first_position is not None

    def max_tokens(self, config: PreTrainedConfig) -> int | None:
        """Longest sequence, special tokens included; None where the model has no such limit.

        Where it is not known how positions count, no sequence is longer, but some may be too long.
        """
        if self.first_position is None:
            return getattr(config, "max_position_embeddings", None)
        first = self.first_position(config)
        return None if first is None else config.max_position_embeddings - first


def _t5(name: str) -> Family:
    return Family(
        name,
        _relative,
        positions=None,
        patch=patches_t5.vector_bias,
        terms=patches_t5.bias_term,
    )


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("albert", _from_zero, _albert_order),
        Family("bert", _from_zero),
        Family("camembert", _after_padding),
        Family("data2vec-text", _after_padding),
        Family("distilbert", _from_zero),
        Family("electra", _from_zero),
        Family("ernie", _from_zero),
        Family("esm", _esm_positions),
        Family("esmc", _relative),
        Family(
            "modernbert",
            _relative,
            terms=windows.window_term,
            window=lambda config: config.sliding_window + 1,  # half of the window counts: inclusive
        ),
        _t5("mt5"),
        Family("roberta", _after_padding),
        Family("roberta-prelayernorm", _after_padding),
        Family(
            "roformer",
            _from_zero,  # rotary, but from a table with a last row
            positions=patches_roformer.POSITIONS,
            attention_class=RoFormerSelfAttention,
            patch=patches_roformer.self_attention,
        ),
        _t5("t5"),
        _t5("umt5"),
        Family("xlm-roberta", _after_padding),
        Family(
            "xlnet",
            _relative,
            patches_xlnet.in_order,
            positions=patches_xlnet.POSITIONS,
            attention_class=XLNetRelativeAttention,
            patch=patches_xlnet.relative_attention,
            options={"use_mems": False},  # else every layer's input is kept
            on_gpu=False,
        ),
    )
}

#: ``config.model_type`` -> why it is refused; other refusals follow from the class.
UNSUPPORTED: dict[str, str] = {
    "deberta": "its disentangled attention adds terms of relative position inside the layer",
    "deberta-v2": "its disentangled attention adds terms of relative position inside the layer",
}

_ADVICE = {"is_encoder_decoder": "give its encoder alone (load_model does so for T5)"}


@functools.cache
def calls_attention_interface(module_class: type[nn.Module]) -> bool:
    """Whether a class hands its queries and keys to transformers' attention interface.

    Read off the compiled ``forward``: a class that does not look the function up would accept any
    name of an implementation, ignore it, and (its mask having been made for that name) attend to
    padding.
    """
    code = getattr(inspect.unwrap(module_class.forward), "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def is_attention(module_class: type[nn.Module]) -> bool:
    """Whether modules of a class compute attention that can be routed, by the interface or a patch.

    A class derived from one that is patched does not count: what it changed would be lost.
    """
    patched = any(module_class is family.attention_class for family in FAMILIES.values())
    return patched or calls_attention_interface(module_class)


def supported() -> str:
    """Types of models that are known to work, for messages."""
    return ", ".join(sorted(FAMILIES))


def family_of(config: PreTrainedConfig, class_name: str, encoder_alone: bool = False) -> Family:
    """The family of a model by its config, after the refusals that a config alone decides.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    class_name : str
        Name of the model's class, for messages.
    encoder_alone : bool
        Whether it is the encoder of an encoder-decoder, whose config may still call it one.

    Raises
    ------
    ModelError
        For decoders, encoder-decoders, and types listed in `UNSUPPORTED`.
    """
    if config.model_type in UNSUPPORTED:
        raise ModelError(
            f"{class_name} (type {config.model_type!r}) cannot be analysed: "
            f"{UNSUPPORTED[config.model_type]}; supported: {supported()}"
        )
    family = FAMILIES.get(config.model_type)
    for flag in ("is_decoder", "is_encoder_decoder", "add_cross_attention"):
        if flag == "is_encoder_decoder" and encoder_alone and family is not None:
            continue
        if getattr(config, flag, False):
            raise ModelError(
                f"{class_name} cannot be analysed: its config says {flag}=True, and only "
                "encoders, whose every token sees the whole sequence, are supported; "
                f"{_ADVICE.get(flag, f'load it with {flag}=False if it is an encoder')}"
            )
    # transformers 5 dropped BERT's relative positions: such a checkpoint would run, wrongly.
    kind = getattr(config, "position_embedding_type", None) or "absolute"
    if kind not in ("absolute", "rotary"):
        raise ModelError(
            f"{class_name} cannot be analysed: position_embedding_type={kind!r} adds a term of "
            "relative position to the scores; expected 'absolute' or 'rotary'"
        )
    return family or Family(config.model_type)
