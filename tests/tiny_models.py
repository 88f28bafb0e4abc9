"""Tiny random models of every family, and a plain attention to route them to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
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
    ModernBertConfig,
    MT5Config,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaPreLayerNormConfig,
    RoFormerConfig,
    T5Config,
    UMT5Config,
    XLMRobertaConfig,
    XLNetConfig,
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
T5_SIZES = {
    "vocab_size": 33,
    "d_model": 24,
    "d_kv": 12,
    "num_layers": 3,
    "num_heads": 2,
    "d_ff": 32,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "feed_forward_proj": "gated-gelu",
}
XLNET_PARTS = ("q", "k", "r", "r_w_bias", "r_r_bias", "r_s_bias", "seg_embed")
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
    "roformer": lambda: RoFormerConfig(**SIZES, embedding_size=16),
    "roformer-values": lambda: RoFormerConfig(**SIZES, rotary_value=True),
    "t5": lambda: T5Config(**T5_SIZES),
    "t5-relu": lambda: T5Config(**{**T5_SIZES, "feed_forward_proj": "relu", "d_kv": 20}),
    "mt5": lambda: MT5Config(**T5_SIZES),
    "umt5": lambda: UMT5Config(**T5_SIZES),
    # Layers 2 and 3 see six tokens to either side.
    "modernbert": lambda: ModernBertConfig(
        **{**SIZES, "max_position_embeddings": 2048},
        local_attention=12,
        **{f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")},
    ),
    "xlnet": lambda: XLNetConfig(
        vocab_size=33, d_model=24, n_layer=3, n_head=2, d_inner=32, pad_token_id=1
    ),
    "xlnet-clamped": lambda: XLNetConfig(
        vocab_size=33, d_model=24, n_layer=3, n_head=2, d_inner=32, pad_token_id=1, clamp_len=7
    ),
}


def sharpen(model: torch.nn.Module, factor: float = 8.0) -> torch.nn.Module:
    """Scale query and key weights: random models attend almost uniformly otherwise."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            parts = name.split(".")
            if {"query", "key", "q_lin", "k_lin", "q_proj", "k_proj"} & set(parts):
                weights *= factor
            elif "rel_attn" in parts and parts[-1] in XLNET_PARTS:
                weights *= factor
            elif "Wqkv" in parts and weights.dim() == 2:  # ModernBERT
                weights[: 2 * len(weights) // 3] *= factor
            elif {"q_norm", "k_norm"} & set(parts):  # ESM-C normalises queries and keys
                weights *= factor / 12
            elif {"q", "k"} & set(parts):  # T5's scores are large from the beginning
                weights *= factor / 11
    return model


def tiny(name: str, seed: int = 0, factor: float = 8.0) -> PreTrainedModel:
    """A bare encoder with random weights, in evaluation mode."""
    config = CONFIGS[name]()
    return tiny_of(encoder_class(config), config, seed, factor)


def encoder_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class of a family's encoder."""
    for mapping in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        if type(config) in mapping:
            return mapping[type(config)]
    raise KeyError(config.model_type)


def tiny_of(
    model_class: type[PreTrainedModel],
    config: PreTrainedConfig,
    seed: int = 0,
    factor: float = 8.0,
) -> PreTrainedModel:
    """A model of any class, with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return sharpen(model_class(config).eval(), factor)


def tokens(batch: int, length: int, seed: int = 1) -> Tensor:
    """Random residues, int64 [batch, length]."""
    return torch.randint(4, 30, (batch, length), generator=torch.Generator().manual_seed(seed))


def hidden(model: torch.nn.Module, **inputs: Tensor) -> Tensor:
    """A model's last hidden state [batch, length, hidden]."""
    with torch.no_grad():
        return model(**inputs).last_hidden_state


def attend(
    layer: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    relative_bias: Tensor | None = None,
    window: int = 0,
    position_query: Tensor | None = None,
    position_key: Tensor | None = None,
) -> Tensor:
    """Softmax attention from its formula; a handler."""
    at = torch.arange(query.shape[2])
    offset = at[None, :] - at[:, None]
    scores = torch.einsum("bhid,bhjd->bhij", query, key)
    if position_query is not None:
        rows = position_key[offset + position_key.shape[0] // 2]  # [L, L, H, D]
        scores = scores + torch.einsum("bhid,ijhd->bhij", position_query, rows)
    scores = scores * scale
    if relative_bias is not None:
        scores = scores + relative_bias[:, offset + relative_bias.shape[1] // 2]
    if window:
        scores = scores.masked_fill(offset.abs() >= window, -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
    # A row without keys, as padding has within a window, has no weights.
    weights = scores.softmax(-1).masked_fill(scores == -math.inf, 0.0)
    return torch.einsum("bhij,bhjd->bihd", weights.to(value.dtype), value)


def attend_within(boundaries: list[int]) -> Callable[..., Tensor]:
    """A handler for one packed row, whose sequences end at `boundaries` (the first entry is 0)."""

    def handler(
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scale: float,
        **terms: Tensor,
    ) -> Tensor:
        assert mask is None or mask.all()
        pieces = [
            attend(
                layer,
                *(t[:, :, a:b] for t in (query, key, value)),
                None,
                scale,
                **{
                    name: term[:, :, a:b] if name == "position_query" else term
                    for name, term in terms.items()
                },
            )
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


def save_with_tokenizer(folder: Path, model: PreTrainedModel) -> Path:
    """A folder to load a model from, with a tokenizer as ESM has it."""
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    esm_tokenizer(folder).save_pretrained(folder)
    return folder
