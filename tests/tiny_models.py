"""Tiny random models of every family, and a plain attention to route them to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    MODEL_MAPPING,
    AlbertConfig,
    BertConfig,
    BertTokenizer,
    CamembertConfig,
    Data2VecTextConfig,
    DistilBertConfig,
    ElectraConfig,
    ErnieConfig,
    EsmcConfig,
    EsmConfig,
    EsmTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaPreLayerNormConfig,
    XLMRobertaConfig,
)

SIZES = {
    "vocab_size": 33,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
}
ESM = {**SIZES, "mask_token_id": 32, "token_dropout": True}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**SIZES),
    "esm-rotary": lambda: EsmConfig(**ESM, position_embedding_type="rotary"),
    "esm-absolute": lambda: EsmConfig(
        **ESM, position_embedding_type="absolute", emb_layer_norm_before=True
    ),
    "esmc": lambda: EsmcConfig(
        **{**SIZES, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 2048}
    ),
    "roberta": lambda: RobertaConfig(**SIZES),
    "roberta-prelayernorm": lambda: RobertaPreLayerNormConfig(**SIZES),
    "camembert": lambda: CamembertConfig(**SIZES),
    "xlm-roberta": lambda: XLMRobertaConfig(**SIZES),
    "data2vec-text": lambda: Data2VecTextConfig(**SIZES),
    "electra": lambda: ElectraConfig(**SIZES, embedding_size=16),
    "ernie": lambda: ErnieConfig(**SIZES),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=33,
        dim=24,
        n_layers=3,
        n_heads=2,
        hidden_dim=32,
        max_position_embeddings=64,
        pad_token_id=1,
    ),
    "albert": lambda: AlbertConfig(**{**SIZES, "num_hidden_layers": 4}, embedding_size=16),
    "albert-groups": lambda: AlbertConfig(
        **{**SIZES, "num_hidden_layers": 4}, embedding_size=16, num_hidden_groups=2
    ),
}


def sharpen(model: torch.nn.Module, factor: float = 8.0) -> torch.nn.Module:
    """Scale query and key weights: random models attend almost uniformly otherwise."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            parts = name.split(".")
            if {"query", "key", "q_lin", "k_lin", "q_proj", "k_proj"} & set(parts):
                weights *= factor
    return model


def tiny(name: str, seed: int = 0) -> PreTrainedModel:
    """A bare encoder with random weights, in evaluation mode."""
    return tiny_of(MODEL_MAPPING[type(CONFIGS[name]())], CONFIGS[name](), seed)


def tiny_of(
    model_class: type[PreTrainedModel], config: PreTrainedConfig, seed: int = 0
) -> PreTrainedModel:
    """A model of any class, with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return sharpen(model_class(config).eval())


def tokens(batch: int, length: int, seed: int = 1) -> Tensor:
    """Random residues, int64 [batch, length]."""
    return torch.randint(4, 30, (batch, length), generator=torch.Generator().manual_seed(seed))


def hidden(model: torch.nn.Module, **inputs: Tensor) -> Tensor:
    """A model's last hidden state [batch, length, hidden]."""
    with torch.no_grad():
        return model(**inputs).last_hidden_state


def attend(
    layer: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Softmax attention from its formula; a handler."""
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    return torch.einsum("bhij,bhjd->bihd", scores.softmax(-1), value)


def attend_within(boundaries: list[int]) -> Callable[..., Tensor]:
    """A handler for one packed row, whose sequences end at `boundaries` (the first entry is 0)."""

    def handler(
        layer: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float
    ) -> Tensor:
        assert mask is None
        pieces = [
            attend(layer, *(t[:, :, a:b] for t in (query, key, value)), None, scale)
            for a, b in itertools.pairwise(boundaries)
        ]
        return torch.cat(pieces, dim=1)

    return handler


ESM_VOCABULARY = (
    "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
).split()
PROTBERT_VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"LAGVESIKRDTPNQFYMHCWXUBZO",
]
ANTIBERTY_VOCABULARY = PROTBERT_VOCABULARY[:5] + list("ACDEFGHIKLMNPQRSTVWY")


def esm_tokenizer(folder: Path) -> EsmTokenizer:
    """A tokenizer that takes residues written together."""
    (folder / "vocab.txt").write_text("\n".join(ESM_VOCABULARY))
    return EsmTokenizer(str(folder / "vocab.txt"))


def bert_tokenizer(
    vocabulary: list[str] = PROTBERT_VOCABULARY, lower: bool = False
) -> BertTokenizer:
    """A tokenizer that takes residues separated by spaces."""
    ids = {token: index for index, token in enumerate(vocabulary)}
    return BertTokenizer(vocab=ids, do_lower_case=lower)
