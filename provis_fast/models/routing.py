"""Sending the queries, keys and values of any supported transformers model to a function of ours.

transformers lets a model's ``config._attn_implementation`` name a registered function that computes
attention. One function is registered here for good, under `IMPLEMENTATION`; `routed` points one
model at it for a while and the function finds, by the calling module, which handler to call. What
does not use registered functions is patched for that while (`Family.patch`) and calls ours itself.

A second registered function makes the mask. Without it transformers drops padding masks silently;
with it the two-dimensional mask ``[batch, tokens]`` arrives as it was given, and nothing of size
tokens x tokens is ever made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import bidirectional_mask_function

from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models.families import Family, family_of, is_attention, supported
from provis_fast.models.windows import is_window

IMPLEMENTATION = "provis_fast"

#: ``handler(layer, query, key, value, mask, scale, **terms) -> output``: ``layer`` counts from 0;
#: query, key and value are ``[B, H, L, D]`` strided views; ``mask`` is bool ``[B, L]``, True where
#: a token may be attended to, or None; ``terms`` are arguments of `ops.attention_statistics_` that
#: some families need, out of `TERMS`; the output is ``[B, L, H, D]``.
Handler = Callable[..., Tensor]

#: Terms of a score besides the product of query and key.
TERMS = frozenset({"relative_bias", "window", "position_query", "position_key"})

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

_NO_ATTENTIONS = (
    "output_attentions=True asks for attention matrices, which are never formed while a model is "
    "analysed: leave it out, or run that forward pass outside"
)


class StopForward(Exception):
    """Raised by a handler to end the forward pass: what follows is not needed.

    Whoever called the model catches it.
    """


class RoutedModule:
    """A model's attention modules in the order in which a forward pass calls them.

    Made by `route`; does nothing to the model. `routed` puts it to work.

    Attributes
    ----------
    module : nn.Module
        What was given: an encoder, or a model with an encoder inside.
    encoder : transformers.PreTrainedModel
        The innermost model that holds every attention module.
    family : Family
    schedule : tuple of nn.Module, ``[n_layers]``
        The attention module of each layer; shared layers appear several times.
    n_layers, n_heads : int
    """

    def __init__(
        self,
        module: nn.Module,
        encoder: PreTrainedModel,
        family: Family,
        schedule: tuple[nn.Module, ...],
    ):
        self.module = module
        self.encoder = encoder
        self.family = family
        self.schedule = schedule
        self.n_layers = len(schedule)
        self.n_heads = int(encoder.config.num_attention_heads)
        self._handler: Handler | None = None
        self._thread = threading.local()  # calls so far in this thread's forward pass

    def _configs(self) -> list[Any]:
        holders = (self.module, self.encoder, *self.schedule)
        return list({id(c): c for m in holders if (c := getattr(m, "config", None))}.values())

    @property
    def is_running(self) -> bool:
        """Whether a forward pass of the encoder is under way in this thread."""
        return getattr(self._thread, "running", False)

    def _begin(self, encoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._thread.calls, self._thread.running = 0, True
        if encoder.training:
            raise ModelError(
                f"{_name(encoder)} is in training mode, where dropout changes attention at random: "
                "call .eval() on it first"
            )
        if kwargs.get("output_attentions") or self.encoder.config.output_attentions:
            raise ModelError(_NO_ATTENTIONS)

    def _end(self, encoder: nn.Module, args: tuple, output: Any) -> None:
        if self._thread.calls != self.n_layers:
            raise ModelError(
                f"{_name(encoder)} called the attention interface {self._thread.calls} times in a "
                f"forward pass; its {self.n_layers} layers should have made {self.n_layers} calls, "
                "so layers cannot be told apart. Is part of the model switched off or replaced?"
            )

    def _leave(self, encoder: nn.Module, args: tuple, output: Any) -> None:
        self._thread.running = False

    def _next_layer(self, module: nn.Module) -> int:
        calls = getattr(self._thread, "calls", 0)
        layer = calls % self.n_layers  # an encoder's stack called by itself has no beginning hook
        if self.schedule[layer] is not module:
            raise ModelError(
                f"layer {layer + 1} of {_name(self.encoder)} was expected to attend next, but "
                f"another {_name(module)} did: its layers run in an unknown order and cannot be "
                "numbered"
            )
        self._thread.calls = calls + 1
        return layer

    def _attend(
        self,
        module: nn.Module,
        query: Tensor,  # [B, H, L, D]
        key: Tensor,  # [B, H, L, D]
        value: Tensor,  # [B, H, L, D]
        mask: Tensor | None,  # [B, L]
        scaling: float | None,
        terms: dict[str, Any],
    ) -> Tensor:  # [B, L, H, D]
        batch, heads, length, size = query.shape
        if key.shape != query.shape or value.shape != query.shape:
            raise ModelError(
                f"{_name(module)}: queries are {tuple(query.shape)}, keys {tuple(key.shape)}, "
                f"values {tuple(value.shape)}; grouped keys, caches and cross-attention are not "
                "supported"
            )
        if mask is not None and mask.shape != (batch, length):
            raise ModelError(
                f"attention_mask of shape {tuple(mask.shape)} given to {_name(self.encoder)}: "
                f"expected a padding mask of shape [batch, tokens] = {(batch, length)}; masks "
                "that differ between queries are not supported"
            )
        layer = self._next_layer(module)
        scale = size**-0.5 if scaling is None else float(scaling)
        with torch.no_grad():
            output = self._handler(layer, query, key, value, mask, scale, **terms)
        if output.shape != (batch, length, heads, size):
            raise ArgumentError(
                f"handler returned shape {tuple(output.shape)} in layer {layer + 1}; expected "
                f"[B, L, H, D] = {(batch, length, heads, size)}"
            )
        inputs = (query, key, value, *terms.values())
        learned = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
        return _Forward.apply(output, *learned) if learned else output


class _Forward(torch.autograd.Function):
    """Hands on an output computed without autograd, and refuses to differentiate it.

    Without this, gradients around the attention (through the residual stream) would still flow, and
    a training loop would go on with wrong ones.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, *inputs: Tensor) -> Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        raise ModelError(
            "gradients cannot be taken through a model while it is analysed: run the backward "
            "pass outside, or the forward pass under torch.no_grad()"
        )


_lock = threading.Lock()
_active: dict[int, RoutedModule] = {}  # id of attention module -> its routing
_active_configs: dict[int, RoutedModule] = {}  # id of config


def _attend(
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
        raise _stranger(_name(module))
    if dropout or module.training:
        raise ModelError(
            f"{_name(module)} is in training mode (dropout {dropout}): call .eval() on the model"
        )
    terms = {} if routing.family.terms is None else routing.family.terms(kwargs)
    for name in TERMS & kwargs.keys():
        terms[name] = kwargs.pop(name)
    for name, given in kwargs.items():
        if name == "is_causal" and given:
            raise ModelError(f"{_name(module)} asks for causal attention; only encoders can be run")
        if name == "output_attentions" and given:
            raise ModelError(_NO_ATTENTIONS)
        if name not in _HARMLESS and given is not None and given is not False:
            raise ModelError(
                f"{_name(module)} passes {name!r} to attention, which may change the scores and is "
                f"not supported for models of type {routing.family.name!r}"
            )
    return routing._attend(module, query, key, value, attention_mask, scaling, terms)


def _attention(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """What transformers calls in place of its own attention."""
    return _attend(*args, **kwargs), None


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


def route(module: nn.Module) -> RoutedModule:
    """Find a model's attention modules and the order of its layers.

    Parameters
    ----------
    module : nn.Module
        A transformers encoder, with or without a head on it, or a module with one inside.

    Returns
    -------
    RoutedModule

    Raises
    ------
    ModelError
        If the model's attention cannot be routed; the message names the class and says why.
    """
    parts = list(module.modules()) if isinstance(module, nn.Module) else []
    hosts = [part for part in parts if isinstance(part, PreTrainedModel)]
    if not hosts:
        raise ModelError(
            f"expected a transformers model, or a module with one inside; got {_name(module)}"
        )
    for part in parts:
        if hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None:
            raise ModelError(
                f"{_name(part)} is compiled; its attention may be frozen into the compiled code: "
                "give the model as it was before torch.compile"
            )
    attention = [part for part in parts if is_attention(type(part))]
    encoder = hosts[-1]
    if attention:
        holding = [h for h in hosts if set(attention) <= set(h.modules())]
        if not holding:
            raise ModelError(
                f"{_name(module)} holds several transformers models "
                f"({', '.join(map(_name, hosts))}); give one of them"
            )
        encoder = holding[-1]
    config = encoder.config
    alone = not any(hasattr(host, "decoder") for host in (hosts[0], encoder))
    family = family_of(config, _name(hosts[0]), alone)  # named as its owner knows it
    if not attention:
        raise ModelError(
            f"{_name(encoder)} (type {config.model_type!r}) computes its attention itself, not "
            "through transformers' attention interface, so it cannot be routed; supported: "
            f"{supported()}, and other encoders that use the interface"
        )
    if any(
        getattr(host, "hf_quantizer", None) or hasattr(host.config, "quantization_config")
        for host in hosts
    ):
        raise ModelError(f"{_name(encoder)} is quantised, which is not supported: load it in full")
    # The default is that of transformers itself: what does not say otherwise is causal. Modules
    # that are patched do not say.
    if any(getattr(part, "is_causal", family.attention_class is None) for part in attention):
        raise ModelError(f"{_name(encoder)} attends causally; only encoders can be analysed")
    return RoutedModule(module, encoder, family, family.schedule(config, attention))


@contextmanager
def routed(module: nn.Module, handler: Handler) -> Iterator[RoutedModule]:
    """Let `handler` compute every attention of a model while the context lasts.

    The model is restored exactly on leaving, also after an exception. Forward passes may run in
    several threads at once if the handler allows it.

    Parameters
    ----------
    module : nn.Module
        As for `route`. In evaluation mode by the time it is called.
    handler : callable
        See `Handler`. Called under ``torch.no_grad()``; it may raise `StopForward`.

    Yields
    ------
    RoutedModule

    Raises
    ------
    ModelError
        On entering, as `route`, or if the model or its config object is routed already. During a
        forward pass, in training mode, when attentions or gradients are asked for, for any mask
        but a padding mask ``[B, L]``, and when the calls do not follow the layers.
    """
    routing = route(module)
    routing._handler = handler
    configs = routing._configs()
    modules = {id(part): routing for part in routing.schedule}
    config_ids = {id(config) for config in configs}
    with _lock:
        if modules.keys() & _active.keys() or config_ids & _active_configs.keys():
            raise ModelError(
                f"{_name(routing.encoder)}, or a model that shares its config object, is being "
                "analysed already: leave that first, or copy.deepcopy the model"
            )
        _active.update(modules)
        _active_configs.update(dict.fromkeys(config_ids, routing))
    before = [config._attn_implementation_internal for config in configs]
    hooks = []
    stack = ExitStack()
    try:
        if routing.family.patch is not None:
            stack.enter_context(routing.family.patch(routing.encoder, _attend))
        hooks.append(routing.encoder.register_forward_pre_hook(routing._begin, with_kwargs=True))
        hooks.append(routing.encoder.register_forward_hook(routing._end))
        hooks.append(routing.encoder.register_forward_hook(routing._leave, always_call=True))
        for config in configs:
            # Past the property, which would also overwrite the choices of nested configs.
            config._attn_implementation_internal = IMPLEMENTATION
        yield routing
    finally:
        for config, implementation in zip(configs, before, strict=True):
            config._attn_implementation_internal = implementation
        for hook in hooks:
            hook.remove()
        stack.close()
        with _lock:
            for key in config_ids:
                del _active_configs[key]
            for key in modules:
                del _active[key]


def _name(thing: object) -> str:
    return type(thing).__name__
