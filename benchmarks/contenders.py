"""The ways to analyse a corpus that `corpus.py` and `test_corpus.py` time against each other."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from provis_fast.models import Model
from provis_fast.properties import Property, resolve
from provis_fast.proteins import Protein

THETA = 0.3


def encoder(model: Model, attention: str) -> nn.Module:
    """A copy of the model's encoder with another attention of transformers."""
    module = copy.deepcopy(model.module)
    module.set_attn_implementation(attention)
    return module.eval()


def batches(proteins: list[Protein], tokens: int) -> list[list[Protein]]:
    """Proteins sorted by length, in padded batches of at most `tokens` tokens (0: one by one)."""
    if tokens == 0:
        return [[protein] for protein in proteins]
    made: list[list[Protein]] = []
    for protein in sorted(proteins, key=len, reverse=True):
        longest = len(made[-1][0]) + 2 if made else 0
        if made and longest * (len(made[-1]) + 1) <= tokens:
            made[-1].append(protein)
        else:
            made.append([protein])
    return made


def padded(model: Model, batch: Iterable[Protein]) -> dict[str, Tensor]:
    """Token ids and mask of a batch, padded at the end, on the model's device."""
    ids = [torch.from_numpy(model.tokens.encode(protein.sequence)) for protein in batch]
    pad = model.module.config.pad_token_id or 0
    tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(row) for row in ids])
    mask = (torch.arange(tokens.shape[1])[None] < lengths[:, None]).long()
    rows = {"input_ids": tokens} if len(ids) == 1 else {"input_ids": tokens, "attention_mask": mask}
    return {name: row.to(model.device) for name, row in rows.items()}


def plain_forward(model: Model, proteins: list[Protein], tokens: int) -> Callable[[], None]:
    """The same model with torch's attention, no statistics: what an analysis cannot do without."""
    module, made = encoder(model, "sdpa"), batches(proteins, tokens)

    def run() -> None:
        with torch.inference_mode():
            for batch in made:
                module(**padded(model, batch))

    return run


def eager_statistics(
    model: Model, proteins: list[Protein], properties: tuple[str, ...], tokens: int = 0
) -> Callable[[], tuple[Tensor, list[Tensor]]]:
    """Attention matrices from the model, statistics from them, vectorised, on the model's device.

    One protein at a time, or in padded batches of `tokens` tokens. Calls return arcs
    [layers, heads], and for each property counts [layers, heads, columns].
    """
    module, resolved, made = encoder(model, "eager"), resolve(properties), batches(proteins, tokens)
    device, shape = model.device, (model.n_layers, model.n_heads)

    def run() -> tuple[Tensor, list[Tensor]]:
        arcs = torch.zeros(shape, dtype=torch.int64, device=device)
        counts = [torch.zeros(*shape, 1, dtype=torch.float64, device=device) for _ in resolved]
        with torch.inference_mode():
            for batch in made:
                output = module(**padded(model, batch), output_attentions=True)
                longest = max(map(len, batch))
                inner = slice(model.tokens.n_prefix, model.tokens.n_prefix + longest)
                facts = [padded_weights(prop, batch, longest, device) for prop in resolved]
                residues = torch.arange(longest) < torch.tensor([[len(p)] for p in batch])
                pairs = (residues[:, None, :, None] & residues[:, None, None, :]).to(device)
                for layer, a in enumerate(output.attentions):
                    hit = a[:, :, inner, inner] >= THETA
                    hit = (hit if len(batch) == 1 else hit & pairs).float()
                    arcs[layer] += hit.sum((0, -1, -2)).long()
                    by_key = hit.sum(2)
                    for p, (over_pairs, fact) in enumerate(facts):
                        found = ((hit.flatten(2) if over_pairs else by_key) @ fact).sum(0)
                        if counts[p].shape[-1] != found.shape[-1]:
                            counts[p] = counts[p].repeat(1, 1, found.shape[-1])
                        counts[p][layer] += found
        return arcs.cpu(), [count.cpu() for count in counts]

    return run


def padded_weights(
    prop: Property, batch: list[Protein], longest: int, device: torch.device
) -> tuple[bool, Tensor]:
    """`weights_of` of a batch: [B, L * L, classes] or [B, L, classes], 0 beyond a protein's end."""
    rows = []
    for protein in batch:
        over_pairs, columns = weights_of(prop, protein)
        missing = longest - len(protein)
        if over_pairs:
            square = columns.unflatten(0, (len(protein), len(protein)))
            rows.append(F.pad(square, (0, 0, 0, missing, 0, missing)).flatten(0, 1))
        else:
            rows.append(F.pad(columns, (0, 0, 0, missing)))
    return over_pairs, torch.stack(rows).to(device)


def weights_of(prop: Property, protein: Protein) -> tuple[bool, Tensor]:
    """A property as columns: [L * L, classes] over pairs (True), or [L, classes] over keys."""
    n = len(protein)
    if prop.kind == "separation":
        distance = (torch.arange(n)[:, None] - torch.arange(n)[None]).abs()
        bins = torch.bucketize(distance, torch.tensor(prop.edges), right=True) - 1
        return True, F.one_hot(bins.flatten(), prop.n_channels).float()
    encoded = prop.encode(protein)
    if prop.kind == "pair":
        return True, torch.from_numpy(np.stack(encoded, -1)).flatten(0, 1).float()
    if prop.kind == "key_value":
        values = torch.from_numpy(encoded).float()
        return False, torch.stack([values.nan_to_num(), (~values.isnan()).float()], -1)
    labels = torch.from_numpy(np.asarray(encoded)).long()
    one_hot = F.one_hot(labels.clamp(min=0), prop.n_channels + 1).float()
    return False, one_hot * (labels >= 0)[:, None]


def nested_loop(
    model: Model, proteins: list[Protein], properties: tuple[str, ...]
) -> Callable[[], dict[str, Tensor]]:
    """A Python loop over all pairs of residues, as the paper's own code goes about it.

    For each pair and property, a dictionary names what the pair adds to; the attention of all
    layers and heads at that pair, float32 as the model gives it, is taken out of one stacked tensor
    and added to float64 sums. Pairs whose label is negative add nothing and cost no addition.
    """
    module = encoder(model, "eager")
    resolved = resolve(properties)

    def run() -> dict[str, Tensor]:
        shape = (model.n_layers, model.n_heads)
        sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(shape).double())
        with torch.inference_mode():
            for protein in proteins:
                output = module(**padded(model, [protein]), output_attentions=True)
                inner = slice(model.tokens.n_prefix, model.tokens.n_prefix + len(protein))
                a = torch.stack([layer[0, :, inner, inner] for layer in output.attentions])
                a = (a >= THETA).float()
                facts = [values_of(prop, protein) for prop in resolved]
                for j in range(len(protein)):
                    for i in range(len(protein)):
                        for fact in facts:
                            for name, value in fact(i, j).items():
                                sums[name] += a[:, :, i, j] * value
        return dict(sums)

    return run


def values_of(prop: Property, protein: Protein) -> Callable[[int, int], dict[str, float]]:
    """A function of (query, key) that says what the pair adds to, and how much."""
    if prop.kind == "separation":
        bins = np.searchsorted(prop.edges, np.arange(len(protein)), side="right") - 1
        return lambda i, j: {f"{prop.name}_{bins[abs(i - j)]}": 1}
    encoded = prop.encode(protein)
    if prop.kind == "pair":
        return lambda i, j: {prop.name: 1} if encoded[0][i, j] else {}
    if prop.kind == "key_value":
        return lambda i, j: {prop.name: float(encoded[j])}
    if prop.n_channels == 1:
        return lambda i, j: {prop.name: 1} if encoded[j] == 0 else {}
    return lambda i, j: {f"{prop.name}_{encoded[j]}": 1}
