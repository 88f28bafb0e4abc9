"""Our functions in transformers' attention interface, and which routed model each call is for.

transformers lets a model's ``config._attn_implementation`` name a registered function that computes
attention. One function is registered here for good, under `IMPLEMENTATION`, and finds, by the
calling module, which routed model to ask.

A second registered function makes the mask. Without it transformers drops padding masks silently;
with it the two-dimensional mask ``[batch, tokens]`` arrives as it was given, and nothing of size
tokens x tokens is ever made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import bidirectional_mask_function

from provis_fast.errors import ModelError
from provis_fast.models.handler import TERMS
from provis_fast.models.routed_module import NO_ATTENTIONS, RoutedModule, class_name
from provis_fast.models.windows import is_window

IMPLEMENTATION = "provis_fast"

# Keyword arguments that transformers passes down to the attention function and that do not change
# what is computed. Any other one that is set may (windows, biases, caps, sinks), so it is refused.
_HARMLESS = frozenset(
    {
        "cache_position",
        "is_causal",  # checked on its own
        "num_items_in_batch",
        "output_hidden_states",
        "position_ids",
        "return_dict",
        "token_type_ids",
        "use_cache",
    }
)

_lock = threading.Lock()
_active: dict[int, RoutedModule] = {}  # id of attention module -> its routing
_active_configs: dict[int, RoutedModule] = {}  # id of config


@contextmanager
def answered_by(routing: RoutedModule) -> Iterator[None]:
    """Let calls from a model's attention modules go to `routing` while the context lasts.

    Raises
    ------
    ModelError
        If the model or one of its config objects is routed already.
    """
    modules = {id(part): routing for part in routing.schedule}
    config_ids = {id(config) for config in routing.configs()}
    with _lock:
        if modules.keys() & _active.keys() or config_ids & _active_configs.keys():
            raise ModelError(
                f"{class_name(routing.encoder)}, or a model that shares its config object, is "
                "being analysed already: leave that first, or copy.deepcopy the model"
            )
        _active.update(modules)
        _active_configs.update(dict.fromkeys(config_ids, routing))
    try:
        yield
    finally:
        with _lock:
            for key in config_ids:
                del _active_configs[key]
            for key in modules:
                del _active[key]


@contextmanager
def named_in(configs: list[Any]) -> Iterator[None]:
    """Let configs name our functions as their attention implementation while the context lasts."""
    before = [config._attn_implementation_internal for config in configs]
    try:
        for config in configs:
            # Past the property, which would also overwrite the choices of nested configs.
            config._attn_implementation_internal = IMPLEMENTATION
        yield
    finally:
        for config, implementation in zip(configs, before, strict=True):
            config._attn_implementation_internal = implementation


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> Tensor:
    """What patches call in place of a family's attention: see `patching.Attend`."""
    routing = _active.get(id(module))
    if routing is None:
        raise _stranger(class_name(module))
    if dropout or module.training:
        raise ModelError(
            f"{class_name(module)} is in training mode (dropout {dropout}): call .eval() on the "
            "model"
        )
    terms = {} if routing.family.terms is None else routing.family.terms(kwargs)
    for name in TERMS & kwargs.keys():
        terms[name] = kwargs.pop(name)
    for name, given in kwargs.items():
        if name == "is_causal" and given:
            raise ModelError(
                f"{class_name(module)} asks for causal attention; only encoders can be run"
            )
        if name == "output_attentions" and given:
            raise ModelError(NO_ATTENTIONS)
        if name not in _HARMLESS and given is not None and given is not False:
            raise ModelError(
                f"{class_name(module)} passes {name!r} to attention, which may change the scores "
                f"and is not supported for models of type {routing.family.name!r}"
            )
    return routing.attend(module, query, key, value, attention_mask, scaling, terms)


def _attention(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """What transformers calls in place of its own attention."""
    return attend(*args, **kwargs), None


def _stranger(what: str) -> ModelError:
    return ModelError(
        f"{what} is not part of a model that is being analysed, but its config says attention "
        f"implementation {IMPLEMENTATION!r}: give each model its own config object "
        "(copy.deepcopy), or leave the analysed model first"
    )


def _padding_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Callable = bidirectional_mask_function,
    attention_mask: Tensor | None = None,
    config: Any = None,
    **kwargs: Any,
) -> Tensor | None:
    """What transformers calls to make a mask: returns the ``[B, L]`` one that it was given."""
    routing = _active_configs.get(id(config))
    if routing is not None and routing.family.attention_class and not routing.is_running:
        # Its own attention, which knows nothing of us, would take this for a mask between tokens.
        raise _stranger(f"another model of type {config.model_type!r}")
    if mask_function is not bidirectional_mask_function and not (
        routing is not None
        and routing.family.window is not None
        and is_window(mask_function, routing.family.window(config))
    ):
        raise ModelError(
            "this forward pass restricts which tokens a query sees (a causal, windowed or "
            "per-chain mask); only padding masks of shape [batch, tokens] are supported"
        )
    return attention_mask


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, _padding_mask)
