"""Models with the shapes of well-known ones and random weights: speed and memory need no others.

Queries are scaled up, because a random model attends almost uniformly and then has no arcs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

#: The width of ESM-2 650M.
HEADS, HEAD_SIZE = 20, 64
#: Standard deviation of the scores: it gives a few tenths of an arc per query and head at 0.3, as
#: trained models have.
SPREAD = 3.5
AMINO_ACIDS = "LAGVSERTIDPKQNFYMHWCXBUZO"


def save_esm(
    folder: str | Path,
    layers: int,
    heads: int = HEADS,
    head_size: int = HEAD_SIZE,
    dtype: torch.dtype = torch.float32,
) -> None:
    """A random ESM-2, 650M's width by default, with its tokenizer."""
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    vocabulary = ["<cls>", "<pad>", "<eos>", "<unk>", *AMINO_ACIDS, ".", "-", "<null_1>", "<mask>"]
    path = Path(folder) / "vocab.txt"
    path.write_text("\n".join(vocabulary) + "\n")
    EsmTokenizer(str(path)).save_pretrained(folder)
    config = EsmConfig(
        vocab_size=len(vocabulary),
        hidden_size=heads * head_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * heads * head_size,
        position_embedding_type="rotary",
        max_position_embeddings=1026,
        token_dropout=True,
        mask_token_id=len(vocabulary) - 1,
        pad_token_id=1,
    )
    _save(EsmModel(config, add_pooling_layer=False), folder, dtype)


def save_bert(
    folder: str | Path,
    layers: int,
    heads: int = 16,
    head_size: int = HEAD_SIZE,
    dtype: torch.dtype = torch.float32,
) -> None:
    """A random BERT, ProtBert's width by default, with its tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *AMINO_ACIDS]
    ids = {token: number for number, token in enumerate(vocabulary)}
    BertTokenizer(vocab=ids, do_lower_case=False).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=heads * head_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * heads * head_size,
        max_position_embeddings=40000,
    )
    _save(BertModel(config, add_pooling_layer=False), folder, dtype)


def _save(model: nn.Module, folder: str | Path, dtype: torch.dtype) -> None:
    # Inputs have variance 1; weights are drawn with the config's `initializer_range`.
    sharper = SPREAD / (model.config.hidden_size * model.config.initializer_range**2)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "query" in name.split("."):
                weights *= sharper
    model.to(dtype).save_pretrained(folder)
