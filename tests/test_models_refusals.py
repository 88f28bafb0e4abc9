"""What routing refuses, saying why: anything that would give wrong attention in silence."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import transformers
from tiny_models import attend, hidden, tiny, tiny_of, tokens

from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import FAMILIES, UNSUPPORTED, route, routed


def refused(config: transformers.PreTrainedConfig, model_class: type, match: str) -> None:
    model = model_class(config).eval()
    with pytest.raises(ModelError, match=match):
        route(model)


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        ("XLNetModel", {"d_model": 24, "n_layer": 2, "n_head": 2, "d_inner": 8}),
        ("RoFormerModel", tiny_models.SIZES),
        ("DebertaV2Model", tiny_models.SIZES),
        ("ModernBertModel", {**tiny_models.SIZES, "global_attn_every_n_layers": 2}),
        ("T5EncoderModel", {"d_model": 24, "num_layers": 2, "num_heads": 2, "d_kv": 12, "d_ff": 8}),
    ],
)
def test_classes_that_are_not_routed_are_refused_by_name(model_class, config):
    found = getattr(transformers, model_class)
    config = found.config_class(**config)
    assert config.model_type in UNSUPPORTED
    refused(config, found, match=f"{model_class}.*cannot be analysed: its? ")


def test_class_unknown_to_us_that_is_not_routed_is_refused():
    sizes = {**tiny_models.SIZES, "num_hidden_layers": 1}
    config = transformers.FunnelConfig(
        vocab_size=33, block_sizes=[1], d_model=24, n_head=2, d_head=12, d_inner=8
    )
    refused(config, transformers.FunnelBaseModel, "FunnelBaseModel.*computes its attention itself")
    refused(transformers.GPT2Config(n_embd=24, n_layer=1, n_head=2), transformers.GPT2Model, "caus")
    refused(
        transformers.LlamaConfig(**sizes, num_key_value_heads=2), transformers.LlamaModel, "caus"
    )


def test_class_unknown_to_us_that_is_routed_works():
    config = transformers.NomicBertConfig(**{**tiny_models.SIZES, "head_dim": 12})
    assert config.model_type not in FAMILIES
    model = tiny_of(transformers.NomicBertModel, config)
    ids, mask = tokens(2, 9), torch.ones(2, 9, dtype=torch.long)
    mask[1, 5:] = 0
    expected = hidden(model, input_ids=ids, attention_mask=mask)
    with routed(model, attend) as routing:
        found = hidden(model, input_ids=ids, attention_mask=mask)
    valid = mask.bool()
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-5, rtol=0)
    assert not routing.family.packs


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"is_decoder": True}, "is_decoder=True"),
        ({"is_decoder": True, "add_cross_attention": True}, "is_decoder=True"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_configs_refused(changes, match):
    refused(transformers.BertConfig(**tiny_models.SIZES, **changes), transformers.BertModel, match)


def test_other_things_refused():
    with pytest.raises(ModelError, match=r"expected a transformers model.*Linear"):
        route(torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match=r"expected a transformers model.*str"):
        route("facebook/esm2_t6_8M_UR50D")
    two = torch.nn.ModuleList([tiny("bert"), tiny("esm-rotary")])
    with pytest.raises(ModelError, match="several transformers models"):
        route(two)
    quantised = tiny("bert")
    quantised.config.quantization_config = {"load_in_8bit": True}
    with pytest.raises(ModelError, match="quantised"):
        route(quantised)
    with pytest.raises(ModelError, match="compiled"):
        route(torch.compile(tiny("bert")))


@pytest.mark.parametrize("name", ["bert", "esm-rotary", "albert"])
def test_training_mode_refused(name):
    model = tiny(name).train()
    with routed(model, attend), pytest.raises(ModelError, match=r"\.eval\(\)"):
        model(input_ids=tokens(1, 4))
    model.eval()
    attention = route(model).schedule[0]
    attention.train()  # a part of the model forgotten
    with routed(model, attend), pytest.raises(ModelError, match=r"\.eval\(\)"):
        model(input_ids=tokens(1, 4))


@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (2, 6, 6)])
def test_masks_between_tokens_refused(shape):
    model = tiny("bert")
    mask = torch.zeros(shape)
    with routed(model, attend), pytest.raises(ModelError, match="expected a padding mask"):
        model(input_ids=tokens(2, 6), attention_mask=mask)


def test_chain_masks_refused():
    model = tiny("esmc")
    chains = torch.tensor([[0, 0, 0, 1, 1, 1]])
    with routed(model, attend), pytest.raises(ModelError, match="per-chain"):
        model(input_ids=tokens(1, 6), sequence_id=chains)


def test_attentions_refused():
    model = tiny("bert")
    with routed(model, attend), pytest.raises(ModelError, match="output_attentions"):
        model(input_ids=tokens(1, 4), output_attentions=True)
    with routed(model, attend):
        states = model(input_ids=tokens(1, 4), output_hidden_states=True).hidden_states
    assert len(states) == 4


def test_gradients_refused():
    model = tiny("bert")
    with routed(model, attend):
        output = model(input_ids=tokens(1, 4)).last_hidden_state
    with pytest.raises(ModelError, match="gradients"):
        output.sum().backward()


def test_unknown_arguments_of_attention_refused():
    model = tiny("bert")
    with routed(model, attend), pytest.raises(ModelError, match="'softcap'"):
        model(input_ids=tokens(1, 4), softcap=30.0)


def test_skipped_layer_is_noticed():
    model = tiny("bert")
    with routed(model, attend), pytest.raises(ModelError, match=r"called .* 2 times"):
        model.encoder.layer = model.encoder.layer[:2]
        hidden(model, input_ids=tokens(1, 4))
    model = tiny("bert")
    with routed(model, attend), pytest.raises(ModelError, match=r"layer 1 .*expected"):
        model.encoder.layer = torch.nn.ModuleList(reversed(model.encoder.layer))
        hidden(model, input_ids=tokens(1, 4))


def test_handler_of_the_wrong_shape_is_noticed():
    def handler(layer, query, key, value, mask, scale):
        return attend(layer, query, key, value, mask, scale).transpose(1, 2)

    model = tiny("bert")
    with routed(model, handler), pytest.raises(ArgumentError, match=r"\[B, L, H, D\]"):
        hidden(model, input_ids=tokens(1, 4))


def test_models_that_would_meddle_with_each_other_are_refused():
    model = tiny("bert")
    other = transformers.BertModel(model.config).eval()
    assert other.config is model.config
    with routed(model, attend):
        with pytest.raises(ModelError, match="already"), routed(model, attend):
            pass
        with pytest.raises(ModelError, match="already"), routed(other, attend):
            pass
        with pytest.raises(ModelError, match="not part of a model that is being analysed"):
            other(input_ids=tokens(1, 4))
        hidden(model, input_ids=tokens(1, 4))  # and the first is still routed
    with routed(other, attend):
        hidden(other, input_ids=tokens(1, 4))
