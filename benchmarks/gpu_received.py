"""Received attention beside column sums by others, each checked before it is timed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import column_sums
from gpu_kernels import HEADS, SEQUENCES, Inputs, Statistics, forced
from gpu_timing import Setting, Timer, reason
from torch import Tensor

from provis_fast.kernel_data import FIXED_POINT

#: Largest difference between a peer and ours, as a share of the largest column sum: of those that
#: are given the same log-sum-exp, and of packages that find their own or round weights to bfloat16.
TOLERANCE, PACKAGE_TOLERANCE = 0.002, 0.02


def peers(inputs: Inputs, lse: Tensor) -> tuple[dict[str, Callable[[], Tensor]], dict[str, str]]:
    """Functions that return column sums [H, T], and reasons by name of those that are not here."""
    query, key = inputs[:2]
    found: dict[str, Callable[[], Tensor]] = {
        "column sums, torch": lambda: column_sums.by_torch(query, key, lse, inputs.cu_seqlens)
    }
    missing: dict[str, str] = {}
    if column_sums.triton is None or query.device.type != "cuda":
        missing["column sums, Triton"] = "needs Triton and a GPU"
    else:
        for blocks in column_sums.BLOCKS:
            found[f"column sums, Triton, {blocks[0]} x {blocks[1]}"] = lambda blocks=blocks: (
                column_sums.by_triton(query, key, lse, inputs.length, blocks)
            )

    def flat(sums: Tensor) -> Tensor:  # [B, H, L]
        return sums.transpose(0, 1).flatten(1)

    dense = inputs.dense
    # Packages that attend for themselves: beside "received, with its first pass", or with output.
    for name, module, call in (
        ("flash_colreduce", "flash_colreduce", lambda f: f(*dense[:2], reduction="sum")),
        (
            "flash_attention",
            "flag_attn",
            # Output, log normaliser where asked for, then the sums; newer versions return five.
            lambda f: f(*dense, return_log_normalizer=True, return_total_attention=True)[2],
        ),
    ):
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            missing[module] = reason(error)
            continue
        found[module] = lambda function=function, call=call: flat(call(function))
    return found, missing


def ours(inputs: Inputs, lse: Tensor) -> tuple[dict[str, Callable[[], object]], Tensor]:
    """Our calls by name, and their column sums, [H, T]."""
    received = Statistics(inputs, "received")
    received()
    sums = received.options["received"].double() / FIXED_POINT
    with_output: dict[str, Callable[[], object]] = {
        "received and output": received,
        "received, with its first pass": lambda: received(value=False),
    }
    if inputs.query.device.type != "cuda":
        return with_output, sums
    with_output = {name: forced("flash", call) for name, call in with_output.items()}
    return {"received alone": received.alone(lse), **with_output}, sums


def rows(setting: Setting) -> Iterator[dict]:
    """One row per head size and length."""
    timer = Timer(setting, 20)
    sequences, lengths = (2, (50,)) if setting.small else (SEQUENCES, (512, 1024, 2048))
    for size in (32,) if setting.small else (64, 128):
        for length in lengths:
            inputs = Inputs.drawn(setting.device, sequences, length, size)
            lse = inputs.attention_and_lse()[1]
            functions, sums = ours(inputs, lse)
            others, left_out = peers(inputs, lse)
            differences = {}
            for name, peer in others.items():
                try:
                    off = (peer().double() - sums).abs().max() / sums.max()
                except Exception as error:
                    left_out[name] = reason(error)
                    setting.synchronize()
                    continue
                differences[name] = float(off)
                own = name.startswith("column sums")
                if off <= (TOLERANCE if own else PACKAGE_TOLERANCE):
                    functions[name] = peer
                else:
                    left_out[name] = f"differs from ours by {float(off):.2%}"
            ms, raised = timer.medians(functions)
            yield {
                "dtype": "bfloat16",
                "head_size": size,
                "length": length,
                "sequences": sequences,
                "heads": HEADS,
                "differences": differences,
                "ms": ms,
                "left_out": left_out | raised,
            }
