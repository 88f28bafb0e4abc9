"""Small models on disk, random proteins, and attention from another source: for whole analyses."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import tiny_models
import torch
from transformers import BertConfig, BertModel, EsmConfig, EsmModel

from provis_fast.proteins import Protein

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


def save_bert(
    folder: Path, *, layers=3, heads=4, head_size=8, positions=130, seed=0, vocabulary=None
) -> Path:
    """A BERT with absolute positions for `positions` - 2 residues, and its tokenizer."""
    tokenizer = tiny_models.bert_tokenizer(*([] if vocabulary is None else [vocabulary]))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=heads * head_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=positions,
    )
    model = tiny_models.sharpen(BertModel(config, add_pooling_layer=False).eval(), 16.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_esm(folder: Path, *, layers=2, heads=3, head_size=16, seed=1) -> Path:
    """A rotary ESM-2 that calls itself trained on 98 residues, and its tokenizer."""
    tokenizer = tiny_models.esm_tokenizer(folder)
    torch.manual_seed(seed)
    config = EsmConfig(
        vocab_size=len(tokenizer),
        hidden_size=heads * head_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=100,
        position_embedding_type="rotary",
        token_dropout=True,
        mask_token_id=tokenizer.mask_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = tiny_models.sharpen(EsmModel(config, add_pooling_layer=False).eval(), 16.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_proteins(lengths, seed=0, letters=AMINO_ACIDS) -> list[Protein]:
    """Proteins with random sequences, coordinates and labels, some of it unknown."""
    rng = np.random.default_rng(seed)
    proteins = []
    for number, n in enumerate(lengths):
        ca = np.cumsum(rng.normal(size=(n, 3)) * 2, axis=0)
        ca[rng.random(n) < 0.1] = np.nan
        labels = {
            "secondary_structure": rng.integers(-1, 4, n),
            "binding_site": rng.integers(-1, 2, n),
        }
        sequence = "".join(rng.choice(list(letters), n))
        proteins.append(Protein(f"p{number}", sequence, labels=labels, ca=ca, cb=ca))
    return proteins


def float64_attention(module, ids, **named) -> np.ndarray:
    """Attention of one sequence from the model itself: float64 [layers, heads, n, n].

    Computed by transformers' own eager attention, which knows nothing of our kernels.
    """
    reference = copy.deepcopy(module).double()
    reference.set_attn_implementation("eager")
    with torch.no_grad():
        found = reference(ids[None], output_attentions=True, **named).attentions
    return torch.cat(found).numpy()
