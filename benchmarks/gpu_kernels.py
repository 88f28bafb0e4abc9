"""The kernels beside the vendor's attention: one row per head size and length.

Sequences of one length, B x H = 320, bfloat16. Queries are scaled up so that there are arcs; a row
says how many.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from gpu_timing import Setting, Timer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from provis_fast import _kernels, gpu_paths, ops
from provis_fast.accumulate import move_properties
from provis_fast.benchmark import properties
from provis_fast.kernel_data import PropertyBatch
from provis_fast.vendor_attention import attention_and_lse, blockwise_attention

HEADS, SEQUENCES = 20, 16
#: Standard deviation of the scores.
SPREAD = 3.0
THETA = 0.3
Function = Callable[[], object]


def forced(path: str, function: Function) -> Function:
    """The function with one of the package's paths on a GPU."""

    def run() -> object:
        before = os.environ.get(gpu_paths.VARIABLE)
        os.environ[gpu_paths.VARIABLE] = path
        try:
            return function()
        finally:
            if before is None:
                del os.environ[gpu_paths.VARIABLE]
            else:
                os.environ[gpu_paths.VARIABLE] = before

    return run


class Inputs(NamedTuple):
    """Packed sequences of one length."""

    query: Tensor  # [T, H, D]
    key: Tensor
    value: Tensor
    cu_seqlens: Tensor
    length: int

    @classmethod
    def drawn(
        cls,
        device: str,
        sequences: int,
        length: int,
        head_size: int,
        dtype: torch.dtype = torch.bfloat16,
        heads: int = HEADS,
    ) -> Inputs:
        """Random normal numbers, drawn on the device."""
        generator = torch.Generator(device).manual_seed(0)
        shape = (sequences * length, heads, head_size)
        query, key, value = (
            torch.randn(shape, generator=generator, device=device).mul_(factor).to(dtype)
            for factor in (SPREAD, 1.0, 1.0)
        )
        cu_seqlens = torch.arange(0, shape[0] + 1, length, dtype=torch.int32, device=device)
        return cls(query, key, value, cu_seqlens, length)

    @property
    def scale(self) -> float:
        return self.query.shape[-1] ** -0.5

    @property
    def dense(self) -> list[Tensor]:
        """Query, key and value as [B, H, L, D]."""
        tokens, heads, size = self.query.shape
        shape = (tokens // self.length, self.length, heads, size)
        return [x.view(shape).transpose(1, 2) for x in self[:3]]

    def attention_and_lse(self) -> tuple[Tensor, Tensor]:
        """Output [T, H, D] and log-sum-exp [H, T]; the vendor's where there is a GPU."""
        options = dict(scale=self.scale, cu_seqlens=self.cu_seqlens)
        if self.query.device.type == "cuda":
            return attention_and_lse(*self[:3], **options, longest=self.length)
        return blockwise_attention(*self[:3], **options)


class Statistics:
    """Calls of our kernels with ever more statistics, into accumulators that outlive them.

    Parameters
    ----------
    inputs : Inputs
    wanted : {"none", "threshold", "weighted", "all", "received"}
        "threshold" counts arcs for 20 key classes; "weighted" adds their mass; "all" has contacts,
        separations, entropy and received attention as well; "received" is that alone.
    """

    def __init__(self, inputs: Inputs, wanted: str):
        device = inputs.query.device
        self._inputs = inputs
        tokens, heads, _ = inputs.query.shape
        sequences = tokens // inputs.length

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.options: dict = {}
        if wanted != "none":
            self.options["flags"] = zeros(sequences, dtype=torch.int32)
        if wanted in ("threshold", "weighted", "all"):
            one = properties(inputs.length, "all" if wanted == "all" else "key_class")
            batch = move_properties(repeated(one, sequences), device)
            self.options |= dict(properties=batch, thresholds=(THETA,))
            self.options["arc_counts"] = zeros(sequences, 1, heads, batch.channels)
        if wanted in ("weighted", "all"):
            self.options["mass"] = zeros(sequences, heads, batch.channels)
        if wanted == "all":
            self.options["entropy"] = zeros(sequences, heads)
        if wanted in ("all", "received"):
            self.options["received"] = zeros(heads, tokens)

    def __call__(self, value: bool = True) -> object:
        inputs = self._inputs
        return ops.attention_statistics_(
            inputs.query,
            inputs.key,
            inputs.value if value else None,
            cu_seqlens=inputs.cu_seqlens,
            max_length=inputs.length,
            **self.options,
        )

    def alone(self, lse: Tensor) -> Function:
        """The second pass by itself: a stand-in for the first one returns what is known."""
        stood_in = False

        def first_pass(*arguments: object, **options: object) -> tuple[None, Tensor]:
            nonlocal stood_in
            stood_in = True
            return None, lse

        def run() -> None:
            with mock.patch.object(_kernels, "attention_and_lse", first_pass):
                self(value=False)
            if not stood_in:
                raise RuntimeError("the package has a first pass of another name: not timed alone")

        return forced("flash", run)

    def arcs_per_query(self) -> float:
        """Arcs of one call per query and head."""
        counts = self.options["arc_counts"]
        before = int(counts[..., 0].sum())
        self()
        return (int(counts[..., 0].sum()) - before) / self._inputs.query[..., 0].numel()


def repeated(batch: PropertyBatch, times: int) -> PropertyBatch:
    """The properties of one sequence for several of the same."""
    words = batch.pairs.numel()
    offsets = torch.empty((0, times), dtype=torch.int64)
    if words:
        offsets = batch.pair_offsets + words * torch.arange(times)[None]
    return batch._replace(
        labels=batch.labels.repeat(1, times),
        values=batch.values.repeat(1, times),
        pairs=batch.pairs.repeat(times),
        pair_offsets=offsets,
    )


def vendors(inputs: Inputs) -> dict[str, Function]:
    """Attention without statistics, from everybody at hand."""
    dense = inputs.dense

    def backend(which: SDPBackend) -> Function:
        def run() -> object:
            with sdpa_kernel(which):
                return F.scaled_dot_product_attention(*dense)

        return run

    def package(function: Callable[..., object]) -> Function:
        bounds = (inputs.cu_seqlens, inputs.cu_seqlens, inputs.length, inputs.length)
        return lambda: function(*inputs[:3], *bounds)

    found = {
        "sdpa": lambda: F.scaled_dot_product_attention(*dense),
        "packed vendor attention with LSE": inputs.attention_and_lse,
    }
    if inputs.query.device.type == "cuda":
        found["sdpa, cudnn"] = backend(SDPBackend.CUDNN_ATTENTION)
        found["sdpa, flash"] = backend(SDPBackend.FLASH_ATTENTION)
    for name, module in (("flash_attn 2", "flash_attn"), ("flash_attn 3", "flash_attn_interface")):
        try:
            found[name] = package(importlib.import_module(module).flash_attn_varlen_func)
        except (ImportError, AttributeError):
            continue
    return found


def ours(inputs: Inputs) -> dict[str, Function]:
    """Our kernels, by what they compute and how."""
    threshold, weighted, everything, received = (
        Statistics(inputs, wanted) for wanted in ("threshold", "weighted", "all", "received")
    )
    found: dict[str, Function] = {"weighted": weighted, "all": everything}
    if inputs.query.device.type != "cuda":
        return {"threshold": threshold, **found, "received": received}
    found["threshold"] = threshold
    found["threshold, two-pass"] = forced("flash", threshold)
    found["threshold, two-pass, cudnn"] = forced("cudnn", threshold)
    found["threshold, fused"] = forced("fused", threshold)
    lse = inputs.attention_and_lse()[1]
    found["statistics alone, threshold"] = threshold.alone(lse)
    found["statistics alone, weighted"] = weighted.alone(lse)
    found["received alone"] = received.alone(lse)
    return found


def rows(setting: Setting) -> Iterator[dict]:
    """Milliseconds of all contenders, shape by shape; head size 64 first, as targets are on it."""
    timer = Timer(setting, 20)
    sequences, lengths = (2, (64,)) if setting.small else (SEQUENCES, (512, 1024, 2048))
    for size in (32,) if setting.small else (64, 32, 128):
        for length in lengths:
            inputs = Inputs.drawn(setting.device, sequences, length, size)
            arcs = Statistics(inputs, "threshold").arcs_per_query()
            ms, left_out = timer.medians({**vendors(inputs), **ours(inputs)})
            yield {
                "dtype": "bfloat16",
                "head_size": size,
                "length": length,
                "sequences": sequences,
                "heads": HEADS,
                "arcs_per_query": arcs,
                "ms": ms,
                "left_out": left_out,
            }
