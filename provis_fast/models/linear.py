"""Linear layers by oneDNN where torch's default is slow.

On a CPU torch multiplies float32 matrices with MKL, which keeps its AVX-512 code for Intel's own
processors. oneDNN, which torch carries as well and runs for ``torch.compile``, goes by what a
processor can do: with AVX-512 on a processor of another make it is twice as fast. It also applies
the GELU that follows the first product of a feed-forward layer while a tile is at hand. XLNet's
attention, which multiplies with parameters instead of layers, is treated likewise.

Results differ from MKL's in the last places, as between any two matrix libraries; they do not
depend on the number of threads. ``PROVIS_FAST_LINEAR=torch`` or ``onednn`` overrides the choice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules
from transformers.activations import GELUActivation
from transformers.models.bert.modeling_bert import BertIntermediate
from transformers.models.esm.modeling_esm import EsmConfig, EsmIntermediate
from transformers.models.xlnet.modeling_xlnet import XLNetRelativeAttention

from provis_fast.errors import ArgumentError

logger = logging.getLogger(__name__)

#: Environment variable that overrides the choice.
VARIABLE = "PROVIS_FAST_LINEAR"
LIBRARIES = ("torch", "onednn")


def library(device: str = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """Which library multiplies the matrices of analysed models: "torch" (its default) or "onednn".

    Parameters
    ----------
    device : str
        Type of the device that the model is on.
    dtype : torch.dtype
        Of its weights.

    Raises
    ------
    ArgumentError
        ``PROVIS_FAST_LINEAR`` names another one, or oneDNN where torch has none.
    """
    if device != "cpu" or dtype != torch.float32:
        return "torch"
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return "onednn" if _is_slow_in_mkl() and _works() else "torch"
    if wanted not in LIBRARIES:
        raise ArgumentError(f"{VARIABLE}: expected one of {', '.join(LIBRARIES)}, got {wanted!r}")
    if wanted == "onednn" and not _works():
        raise ArgumentError(
            f"{VARIABLE}=onednn: torch {torch.__version__} has no oneDNN that could be used here; "
            "unset the variable"
        )
    return wanted


@contextmanager
def faster(module: nn.Module) -> Iterator[None]:
    """Let the float32 linear layers of a model on the CPU use what `library` names, for a while.

    For inference alone: there is no backward pass.

    Parameters
    ----------
    module : nn.Module
        A model that nobody else is using meanwhile.

    Raises
    ------
    ArgumentError
        As `library`.
    """
    # Under autocast torch would multiply in another dtype.
    replacements = {} if torch.is_autocast_enabled("cpu") else _replacements(module)
    if not replacements or library() != "onednn":
        replacements = {}
    for part, forward in replacements.items():
        part.forward = partial(forward, part)
    try:
        yield
    finally:
        for part in replacements:
            vars(part).pop("forward", None)


def _replacements(module: nn.Module) -> dict[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
    found: dict[nn.Module, Callable[[nn.Module, Tensor], Tensor]] = {}
    for part in module.modules():
        if "forward" in vars(part):  # somebody else's already
            continue
        if _is_plain(part):
            found[part] = _linear
        elif _ends_in_gelu(part) and _is_plain(part.dense) and not _is_watched(part.dense):
            found[part] = _linear_and_gelu
        elif type(part) is XLNetRelativeAttention and all(map(_is_plain_weight, part.parameters())):
            found[part] = _xlnet_attention
    return found


def _is_plain(part: nn.Module) -> bool:
    return type(part) is nn.Linear and _is_plain_weight(part.weight)


def _is_plain_weight(weight: Tensor) -> bool:
    return weight.is_cpu and weight.dtype == torch.float32 and weight.is_contiguous()


def _is_watched(part: nn.Module) -> bool:
    """Whether somebody counts on this module being called: hooks, or a forward of their own."""
    everywhere = (modules._global_forward_hooks, modules._global_forward_pre_hooks)
    own = (part._forward_hooks, part._forward_pre_hooks)
    return any(map(len, own + everywhere)) or "forward" in vars(part)


def _ends_in_gelu(part: nn.Module) -> bool:
    """Whether a layer is a product followed by GELU, computed with the error function."""
    if type(part) is BertIntermediate:
        act = part.intermediate_act_fn
        exact = type(act) is GELUActivation and act.act is nn.functional.gelu
        return exact or (type(act) is nn.GELU and act.approximate == "none")
    return type(part) is EsmIntermediate


def _linear(part: nn.Linear, x: Tensor) -> Tensor:
    """nn.Linear.forward: [..., in] -> [..., out]."""
    if x.dtype != torch.float32:
        return type(part).forward(part, x)
    return torch.ops.mkldnn._linear_pointwise(x, part.weight, part.bias, "none", [], "")


def _linear_and_gelu(part: nn.Module, x: Tensor) -> Tensor:
    """BertIntermediate.forward, EsmIntermediate.forward: [..., hidden] -> [..., intermediate]."""
    dense = part.dense
    if x.dtype != torch.float32:
        return type(part).forward(part, x)
    return torch.ops.mkldnn._linear_pointwise(x, dense.weight, dense.bias, "gelu", [], "none")


def _xlnet_attention(
    part: nn.Module,
    h: Tensor,  # [L, B, hidden]
    g: Tensor | None,
    attn_mask_h: Tensor | None,
    attn_mask_g: Tensor | None,
    r: Tensor,  # [P, 1, hidden]
    seg_mat: Tensor | None,
    mems: Tensor | None = None,
    target_mapping: Tensor | None = None,
    output_attentions: bool = False,
) -> tuple[Tensor, None]:
    """XLNetRelativeAttention.forward, whose linear layers are products with parameters."""
    if g is not None or mems is not None or output_attentions or h.dtype != torch.float32:
        given = (h, g, attn_mask_h, attn_mask_g, r, seg_mat, mems, target_mapping)
        return type(part).forward(part, *given, output_attentions)

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    heads = (part.n_head, part.d_head)
    q, k, v, position_k = (
        product(x, weight.flatten(1).T).unflatten(-1, heads)
        for x, weight in ((h, part.q), (h, part.k), (h, part.v), (r, part.r))
    )
    mixed = part.rel_attn_core(q, k, v, position_k, seg_mat=seg_mat, attn_mask=attn_mask_h)
    output = product(mixed.flatten(2), part.o.flatten(1))
    return part.layer_norm(part.dropout(output) + h), None


def _is_slow_in_mkl() -> bool:
    """An AVX-512 processor that is not Intel's; where the system does not tell, it may be."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return _vendor() not in ("", "GenuineIntel")


@cache
def _vendor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")


@cache
def _works() -> bool:
    """Whether torch has the operator, and it computes what the layers compute."""
    if not torch.backends.mkldnn.is_available():
        return False
    config = EsmConfig(vocab_size=5, hidden_size=48, intermediate_size=96)
    with torch.random.fork_rng(devices=[]):  # initial weights are random, and not ours to draw
        part = EsmIntermediate(config)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        x = 3 * torch.randn(2, 7, 48, generator=generator)
        try:
            products, activated = _linear(part.dense, x), _linear_and_gelu(part, x)
        except (AttributeError, RuntimeError) as error:  # an operator that torch does not promise
            logger.info("oneDNN is not used for linear layers: %s", error)
            return False
        same = torch.allclose(products, part.dense(x), atol=1e-5) and torch.allclose(
            activated, part(x), atol=1e-5
        )
    if not same:
        logger.info("oneDNN is not used for linear layers: it computes something else")
    return same
