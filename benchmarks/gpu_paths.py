"""The package's ways to attend on a GPU, timed one by one: what its choice among them is made of.

Packs of as many tokens as an analysis runs at a time, of sequences of one length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import machine
import torch
from gpu_kernels import HEADS, Inputs, Statistics, forced
from gpu_timing import Setting, Timer

from provis_fast.analysis_plan import BATCH_TOKENS
from provis_fast.gpu_table import PATHS

STATISTICS = ("none", "threshold", "all")


def rows(setting: Setting) -> Iterator[dict]:
    """One row per dtype, head size, length and set of statistics."""
    timer = Timer(setting, 8)
    if setting.device == "cuda":
        capability: list[int] | None = list(torch.cuda.get_device_capability())
        gpu, paths = torch.cuda.get_device_name(), PATHS
    else:
        capability, gpu, paths = None, machine.processor(), ()
    tokens = 256 if setting.small else BATCH_TOKENS
    for size, dtype, length in itertools.product(
        (32,) if setting.small else (64, 32, 128),
        (torch.bfloat16, torch.float16),
        (64,) if setting.small else (256, 512, 1024, 2048),
    ):
        inputs = Inputs.drawn(setting.device, tokens // length, length, size, dtype)
        for wanted in STATISTICS:
            call = Statistics(inputs, wanted)
            functions = {path: forced(path, call) for path in paths} or {"cpu": call}
            ms, left_out = timer.medians(functions)
            yield {
                "capability": capability,
                "gpu": gpu,
                "dtype": str(dtype).removeprefix("torch."),
                "head_size": size,
                "length": length,
                "tokens": tokens,
                "heads": HEADS,
                "statistics": wanted,
                "ms": ms,
                "left_out": left_out,
            }
