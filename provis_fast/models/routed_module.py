"""A model whose attention can be routed: its layers, told apart call by call, and its handler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models.families import Family
from provis_fast.models.handler import Handler

NO_ATTENTIONS = (
    "output_attentions=True asks for attention matrices, which are never formed while a model is "
    "analysed: leave it out, or run that forward pass outside"
)


def class_name(thing: object) -> str:
    """What messages call a model or a module."""
    return type(thing).__name__


class RoutedModule:
    """A model's attention modules in the order in which a forward pass calls them.

    Made by `route`; does nothing to the model. `routed` puts it to work: every attention of the
    model then comes to `attend`, which knows by the calls so far which layer it is.

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

    def configs(self) -> list[Any]:
        """The config objects that the model and its attention modules look at, each once."""
        holders = (self.module, self.encoder, *self.schedule)
        return list({id(c): c for m in holders if (c := getattr(m, "config", None))}.values())

    @property
    def is_running(self) -> bool:
        """Whether a forward pass of the encoder is under way in this thread."""
        return getattr(self._thread, "running", False)

    @contextmanager
    def handled_by(self, handler: Handler) -> Iterator[None]:
        """Let `handler` answer `attend`, and watch where forward passes begin and end."""
        self._handler = handler
        hooks = (
            self.encoder.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.encoder.register_forward_hook(self._end),
            self.encoder.register_forward_hook(self._leave, always_call=True),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _begin(self, encoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._thread.calls, self._thread.running = 0, True
        if encoder.training:
            raise ModelError(
                f"{class_name(encoder)} is in training mode, where dropout changes attention at "
                "random: call .eval() on it first"
            )
        if kwargs.get("output_attentions") or self.encoder.config.output_attentions:
            raise ModelError(NO_ATTENTIONS)

    def _end(self, encoder: nn.Module, args: tuple, output: Any) -> None:
        if self._thread.calls != self.n_layers:
            raise ModelError(
                f"{class_name(encoder)} called the attention interface {self._thread.calls} times "
                f"in a forward pass; its {self.n_layers} layers should have made {self.n_layers} "
                "calls, so layers cannot be told apart. Is part of the model switched off or "
                "replaced?"
            )

    def _leave(self, encoder: nn.Module, args: tuple, output: Any) -> None:
        self._thread.running = False

    def _next_layer(self, module: nn.Module) -> int:
        calls = getattr(self._thread, "calls", 0)
        layer = calls % self.n_layers  # an encoder's stack called by itself has no beginning hook
        if self.schedule[layer] is not module:
            raise ModelError(
                f"layer {layer + 1} of {class_name(self.encoder)} was expected to attend next, but "
                f"another {class_name(module)} did: its layers run in an unknown order and cannot "
                "be numbered"
            )
        self._thread.calls = calls + 1
        return layer

    def attend(
        self,
        module: nn.Module,
        query: Tensor,  # [B, H, L, D]
        key: Tensor,  # [B, H, L, D]
        value: Tensor,  # [B, H, L, D]
        mask: Tensor | None,  # [B, L]
        scaling: float | None,
        terms: dict[str, Any],
    ) -> Tensor:  # [B, L, H, D]
        """Attention of one of the modules, by the handler.

        Raises
        ------
        ModelError
            Shapes that are no plain self-attention, or a module that is not the next layer's.
        ArgumentError
            The handler's output has another shape than it should.
        """
        batch, heads, length, size = query.shape
        if key.shape != query.shape or value.shape != query.shape:
            raise ModelError(
                f"{class_name(module)}: queries are {tuple(query.shape)}, keys {tuple(key.shape)}, "
                f"values {tuple(value.shape)}; grouped keys, caches and cross-attention are not "
                "supported"
            )
        if mask is not None and mask.shape != (batch, length):
            raise ModelError(
                f"attention_mask of shape {tuple(mask.shape)} given to {class_name(self.encoder)}: "
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
