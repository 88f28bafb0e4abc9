"""Whole analyses on a GPU: models of the shapes of ESM-2 650M and ProtBert over a set of proteins.

Beside them the plain forward pass of the same model over the same packs, its attention the
vendor's; and, for a few of the proteins, attention matrices from transformers with vectorised
statistics. Host's clock, as an analysis is more than its kernels.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import contenders
import numpy as np
import random_models
import torch
from gpu_timing import Setting, reason

import provis_fast as pf
from provis_fast.analysis_plan import BATCH_TOKENS
from provis_fast.benchmark import interleaved
from provis_fast.models import Model
from provis_fast.models.routing import routed
from provis_fast.plan import PackPlanner
from provis_fast.proteins import Protein
from provis_fast.vendor_attention import attention_and_lse, blockwise_attention

#: Quantiles, from 0 to 1 by twentieths, of the lengths of the chains in provis' binding-site set.
LENGTHS = (20, 71, 91, 106, 120, 136, 147, 162, 181, 197, 214, 239, 257, 282, 307, 329, 354, 390)
LENGTHS += (451, 533, 1126)
PROTEINS, FEW = 500, 100
#: Tokens of a padded batch whose attention matrices, of all layers, are held at once.
EAGER_TOKENS = 4096


class Shape(NamedTuple):
    """A model by its sizes."""

    name: str
    save: Callable[..., None]
    layers: int
    heads: int
    head_size: int


ESM2 = Shape("ESM-2 650M shape", random_models.save_esm, 33, 20, 64)
PROTBERT = Shape("ProtBert shape", random_models.save_bert, 30, 16, 64)
SMALL = (
    Shape("ESM-2 650M shape", random_models.save_esm, 2, 2, 16),
    Shape("ProtBert shape", random_models.save_bert, 2, 2, 16),
)


def load(shape: Shape, setting: Setting) -> Model:
    """The model on the device; bfloat16 on a GPU."""
    dtype = "bfloat16" if setting.device == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as folder:
        shape.save(folder, shape.layers, shape.heads, shape.head_size, getattr(torch, dtype))
        return pf.load_model(folder, device=setting.device, dtype=dtype)


def random_proteins(count: int, seed: int = 0) -> list[Protein]:
    """Random sequences whose lengths are spread as those of the binding-site set."""
    generator = random.Random(seed)
    places = [generator.random() * (len(LENGTHS) - 1) for _ in range(count)]
    lengths = np.interp(places, range(len(LENGTHS)), LENGTHS).round().astype(int).tolist()
    return [random_protein(n, generator) for n in lengths]


def random_protein(length: int, generator: random.Random) -> Protein:
    letters = generator.choices("ACDEFGHIKLMNPQRSTVWY", k=length)
    return Protein(f"p{generator.random()}", "".join(letters))


def plain_forward(model: Model, proteins: list[Protein], tokens: int) -> Callable[[], None]:
    """The whole model over the packs of an analysis, with the vendor's attention."""
    device = model.device
    packs = list(PackPlanner(model, (), batch_tokens=tokens).packs(proteins))

    def run() -> None:
        with torch.inference_mode():
            for pack in packs:
                cu_seqlens = pack.cu_seqlens.to(device, non_blocking=True)

                def attend(layer, query, key, value, mask, scale, pack=pack, cu=cu_seqlens):
                    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
                    options = dict(scale=scale, cu_seqlens=cu)
                    if device.type == "cuda":
                        return attention_and_lse(q, k, v, **options, longest=pack.longest)[0][None]
                    return blockwise_attention(q, k, v, **options)[0][None]

                with routed(model.module, attend):
                    model.module(**pack.inputs)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def rows(setting: Setting) -> Iterator[dict]:
    """Two rows per model: all the proteins, and the few whose matrices are formed as well."""
    proteins = random_proteins(4 if setting.small else PROTEINS)
    few = proteins[: 2 if setting.small else FEW]
    tokens = 256 if setting.small else BATCH_TOKENS
    tokens = max(tokens, max(map(len, proteins)) + 2)
    seconds = 0.01 if setting.small else 8.0
    for shape in SMALL if setting.small else (ESM2, PROTBERT):
        model = load(shape, setting)

        def analysis(
            some: list[Protein], *names: str, weighting: str = "arcs", model: Model = model
        ) -> Callable[[], pf.HeadStatistics]:
            return lambda: pf.analyze(model, some, names, weighting=weighting, batch_tokens=tokens)

        def row(some: list[Protein], functions: dict, shape: Shape = shape, **more: object) -> dict:
            medians = interleaved(functions, seconds, least=1 if setting.small else 5)
            return {
                "model": shape.name,
                "layers": shape.layers,
                "heads": shape.heads,
                "head_size": shape.head_size,
                "proteins": len(some),
                "residues": sum(map(len, some)),
                "batch_tokens": tokens,
                **more,
                "ms": {name: value * 1e3 for name, value in medians.items()},
            }

        arcs = analysis(few)().arcs.sum()
        per_query = float(arcs) / (shape.layers * shape.heads * sum(map(len, few)))
        yield row(
            proteins,
            {
                "plain forward": plain_forward(model, proteins, tokens),
                "analysis, no property": analysis(proteins),
                "analysis, threshold": analysis(proteins, "amino_acid"),
                "analysis, weighted": analysis(proteins, "amino_acid", weighting="both"),
            },
            arcs_per_query=per_query,
            left_out={},
        )
        ours = {
            "plain forward": plain_forward(model, few, tokens),
            "analysis, threshold": analysis(few, "amino_acid"),
        }
        name = "attention matrices, vectorised statistics"
        try:
            matrices = contenders.eager_statistics(model, few, ("amino_acid",), EAGER_TOKENS)
            theirs, left_out = {name: matrices}, {}
            theirs[name]()
        except RuntimeError as error:  # out of memory
            theirs, left_out = {}, {name: reason(error)}
            setting.synchronize()
        yield row(few, {**ours, **theirs}, arcs_per_query=per_query, left_out=left_out)
        del model, ours, theirs
