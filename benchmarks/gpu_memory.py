"""Peak memory of a GPU in an analysis, beside that of the plain forward pass: one protein, growing.

Every layer of a model of ESM-2 650M's shape, key classes, arcs and mass. What the model itself
takes is in neither number.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import torch
from gpu_analysis import ESM2, SMALL, load, plain_forward, random_protein
from gpu_timing import Setting

import provis_fast as pf


def peak_mib(setting: Setting, function: Callable[[], object]) -> float | None:
    """MiB by which the peak of allocated memory grows; None where there is no GPU."""
    if setting.device != "cuda":
        function()
        return None
    function()  # what libraries allocate once and keep
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def rows(setting: Setting) -> Iterator[dict]:
    """One row per length."""
    shape = SMALL[0] if setting.small else ESM2
    model = load(shape, setting)
    for tokens in (64,) if setting.small else (1024, 2048, 4096, 8192):
        specials = model.tokens.n_prefix + model.tokens.n_suffix
        protein = random_protein(tokens - specials, random.Random(0))
        plain = peak_mib(setting, plain_forward(model, [protein], tokens))
        analysis = peak_mib(
            setting,
            lambda protein=protein, tokens=tokens: pf.analyze(
                model, [protein], ("amino_acid",), weighting="both", batch_tokens=tokens
            ),
        )
        yield {
            "model": shape.name,
            "layers": shape.layers,
            "heads": shape.heads,
            "length": tokens,
            "plain_mib": plain,
            "analysis_mib": analysis,
            "extra_mib": None if plain is None else analysis - plain,
        }
