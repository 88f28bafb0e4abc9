"""Sending the queries, keys and values of any supported transformers model to a function of ours.

`routed` points one model at our functions in transformers' attention interface
(`provis_fast.models.interface`) for a while. What does not use the interface is patched for that
while (`Family.patch`) and calls ours itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from provis_fast.errors import ModelError
from provis_fast.models.families import family_of, is_attention, supported
from provis_fast.models.handler import Handler
from provis_fast.models.interface import answered_by, attend, named_in
from provis_fast.models.routed_module import RoutedModule, class_name

#: What the names of quantised modules' and tensors' own modules begin with.
_QUANTISERS = (
    "torch.ao.nn.quantized",
    "torch.ao.nn.intrinsic.quantized",
    "torch.nn.quantized",
    "torchao.",
    "bitsandbytes.",
)


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
            f"expected a transformers model, or a module with one inside; got {class_name(module)}"
        )
    for part in parts:
        if hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None:
            raise ModelError(
                f"{class_name(part)} is compiled; its attention may be frozen into the compiled "
                "code: give the model as it was before torch.compile"
            )
    attention = [part for part in parts if is_attention(type(part))]
    encoder = hosts[-1]
    if attention:
        holding = [h for h in hosts if set(attention) <= set(h.modules())]
        if not holding:
            raise ModelError(
                f"{class_name(module)} holds several transformers models "
                f"({', '.join(map(class_name, hosts))}); give one of them"
            )
        encoder = holding[-1]
    config = encoder.config
    alone = not any(hasattr(host, "decoder") for host in (hosts[0], encoder))
    family = family_of(config, class_name(hosts[0]), alone)  # named as its owner knows it
    if not attention:
        raise ModelError(
            f"{class_name(encoder)} (type {config.model_type!r}) computes its attention itself, "
            "not through transformers' attention interface, so it cannot be routed; supported: "
            f"{supported()}, and other encoders that use the interface"
        )
    if (what := _quantised(hosts, parts)) is not None:
        raise ModelError(
            f"{class_name(encoder)} is quantised ({what}), which is not supported: load it in full"
        )
    # The default is that of transformers itself: what does not say otherwise is causal. Modules
    # that are patched do not say.
    if any(getattr(part, "is_causal", family.attention_class is None) for part in attention):
        raise ModelError(f"{class_name(encoder)} attends causally; only encoders can be analysed")
    return RoutedModule(module, encoder, family, family.schedule(config, attention))


def _quantised(hosts: list[PreTrainedModel], parts: list[nn.Module]) -> str | None:
    """What shows that a model's weights are not plain numbers; None where they are."""
    for host in hosts:
        if getattr(host, "hf_quantizer", None) or hasattr(host.config, "quantization_config"):
            return "its config says so"
    for part in parts:
        own = (*part._parameters.values(), *part._buffers.values())
        for thing in (part, *own):
            # By name: none of these packages need be installed, and some keep plain modules with
            # tensors of a class of their own.
            if type(thing).__module__.startswith(_QUANTISERS):
                return f"{type(thing).__module__}.{type(thing).__name__}"
    for name, value in hosts[0].state_dict().items():
        if not isinstance(value, torch.Tensor) or value.is_quantized:
            return f"{name} is no tensor of plain numbers"
    return None


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
    with answered_by(routing), ExitStack() as stack:
        if routing.family.patch is not None:
            stack.enter_context(routing.family.patch(routing.encoder, attend))
        stack.enter_context(routing.handled_by(handler))
        stack.enter_context(named_in(routing.configs()))
        yield routing
