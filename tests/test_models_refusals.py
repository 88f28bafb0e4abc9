"""What routing refuses, saying why: anything that would give wrong attention in silence."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import transformers
from tiny_models import attend, hidden, tiny, tiny_of, tokens

from provis_fast import attach
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import FAMILIES, UNSUPPORTED, route, routed


def refused(config: transformers.PreTrainedConfig, model_class: type, match: str) -> None:
    model = model_class(config).eval()
    with pytest.raises(ModelError, match=match):
        route(model)


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        ("DebertaV2Model", tiny_models.SIZES),
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
    match = "FunnelBaseModel.*computes its attention itself.*supported: albert, bert, .*, t5"
    refused(config, transformers.FunnelBaseModel, match)
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


def test_of_encoder_decoders_the_encoder_alone():
    whole = tiny_of(transformers.T5ForConditionalGeneration, tiny_models.CONFIGS["t5"]())
    assert whole.encoder.config.is_encoder_decoder
    with pytest.raises(ModelError, match=r"is_encoder_decoder=True.*give its encoder alone"):
        route(whole)
    with pytest.raises(ModelError, match="is_decoder=True"):
        route(whole.decoder)
    ids = tokens(2, 9)
    expected = hidden(whole.encoder, input_ids=ids)
    with routed(whole.encoder, attend) as routing:
        found = hidden(whole.encoder, input_ids=ids)
    assert routing.encoder is whole.encoder
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    bart = transformers.BartConfig(
        encoder_attention_heads=2,
        vocab_size=33,
        d_model=24,
        encoder_layers=1,
        decoder_layers=1,
        decoder_attention_heads=2,
    )
    refused(bart, transformers.BartModel, "is_encoder_decoder=True")


def test_methods_that_somebody_else_replaced_are_refused():
    for name, path, method in (
        ("roformer", "encoder.layer.1.attention.self", "forward"),
        ("t5", "encoder.block.0.layer.0.SelfAttention", "compute_bias"),
    ):
        model = tiny(name)
        part = model.get_submodule(path)
        theirs = getattr(part, method)
        setattr(part, method, theirs)
        with pytest.raises(ModelError, match=f"{method} has been replaced"), routed(model, attend):
            pass
        assert vars(part).pop(method) is theirs
        assert model.config._attn_implementation == "sdpa" or name == "roformer"
        with routed(model, attend):
            hidden(model, input_ids=tokens(1, 5))


def test_class_derived_from_a_patched_one_is_refused():
    model = tiny("roformer")
    ours = type(model.encoder.layer[0].attention.self)
    for layer in model.encoder.layer:
        layer.attention.self.__class__ = type("MyAttention", (ours,), {})
    with pytest.raises(ModelError, match="computes its attention itself"):
        route(model)


def test_roformer_beyond_its_table_and_with_a_cache_refused():
    model = tiny("roformer")
    with routed(model, attend):
        with pytest.raises(ModelError, match=r"65 tokens in a row.*positions for 64"):
            model(input_ids=tokens(1, 65))
        with pytest.raises(ModelError, match="past_key_values"):
            model(input_ids=tokens(1, 5), past_key_values=transformers.DynamicCache())


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


@pytest.mark.filterwarnings("ignore")  # torch announces that this way of quantising moves
def test_dynamically_quantised_models_refused():
    model = torch.ao.quantization.quantize_dynamic(
        tiny("roberta"), {torch.nn.Linear}, dtype=torch.qint8
    )
    with pytest.raises(ModelError, match=r"RobertaModel is quantised \(torch\.ao\..*Linear"):
        route(model)
    with (
        pytest.raises(ModelError, match="RobertaModel is quantised"),
        attach(model, tiny_models.bert_tokenizer()),
    ):
        pass


class Packed(torch.nn.Linear):
    """Keeps in its state something that is no tensor, as packed weights are."""

    def get_extra_state(self):
        return "packed"


@pytest.mark.parametrize("package", ["bitsandbytes.nn.modules", "torchao.quantization"])
def test_modules_and_tensors_of_quantising_packages_refused(package):
    model, other, third = (tiny("bert") for _ in range(3))
    dense = model.encoder.layer[1].output.dense
    dense.__class__ = type("Linear8bitLt", (torch.nn.Linear,), {"__module__": package})
    with pytest.raises(ModelError, match=rf"quantised \({package}\.Linear8bitLt\)"):
        route(model)
    dense = other.encoder.layer[1].output.dense
    tensor_class = type("Params4bit", (torch.nn.Parameter,), {"__module__": package})
    dense.weight = dense.weight.detach().as_subclass(tensor_class)
    with pytest.raises(ModelError, match=rf"quantised \({package}\.Params4bit\)"):
        route(other)
    third.encoder.layer[1].output.dense.__class__ = Packed
    with pytest.raises(ModelError, match="_extra_state is no tensor"):
        route(third)


@pytest.mark.parametrize("name", ["bert", "esm-rotary", "albert", "roformer", "t5"])
def test_training_mode_refused(name):
    model = tiny(name).train()
    with routed(model, attend), pytest.raises(ModelError, match=r"\.eval\(\)"):
        model(input_ids=tokens(1, 4))
    model.eval()
    attention = route(model).schedule[0]
    attention.train()  # a part of the model forgotten
    with routed(model, attend), pytest.raises(ModelError, match=r"\.eval\(\)"):
        model(input_ids=tokens(1, 4))


@pytest.mark.parametrize("name", ["bert", "roformer", "t5"])
@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (2, 6, 6)])
def test_masks_between_tokens_refused(name, shape):
    model = tiny(name)
    mask = torch.zeros(shape)
    with routed(model, attend), pytest.raises(ModelError, match="expected a padding mask"):
        model(input_ids=tokens(2, 6), attention_mask=mask)


def test_chain_masks_refused():
    model = tiny("esmc")
    chains = torch.tensor([[0, 0, 0, 1, 1, 1]])
    with routed(model, attend), pytest.raises(ModelError, match="per-chain"):
        model(input_ids=tokens(1, 6), sequence_id=chains)


@pytest.mark.parametrize("name", ["bert", "roformer", "t5", "umt5"])
def test_attentions_refused(name):
    model = tiny(name)
    with routed(model, attend), pytest.raises(ModelError, match="output_attentions"):
        model(input_ids=tokens(1, 4), output_attentions=True)
    if name == "roformer":  # by its place among the arguments
        with routed(model, attend), pytest.raises(ModelError, match="output_attentions"):
            model(tokens(1, 4), None, None, None, None, None, None, None, True)
    with routed(model, attend):
        states = model(input_ids=tokens(1, 4), output_hidden_states=True).hidden_states
    assert len(states) == 4


@pytest.mark.parametrize(
    ("name", "learning"),
    [("bert", ""), ("bert", "value"), ("roformer", ""), ("t5", "relative_attention_bias")],
)
def test_gradients_refused(name, learning):
    model = tiny(name)
    for weight, values in model.named_parameters():
        values.requires_grad_(learning in weight)
    with routed(model, attend):
        output = model(input_ids=tokens(1, 4)).last_hidden_state
    with pytest.raises(ModelError, match="gradients"):
        output.sum().backward()


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_unknown_arguments_of_attention_refused(name):
    model = tiny(name)
    with routed(model, attend), pytest.raises(ModelError, match="'softcap'"):
        model(input_ids=tokens(1, 4), softcap=30.0)


@pytest.mark.parametrize("name", ["bert", "roformer"])
def test_skipped_layer_is_noticed(name):
    model = tiny(name)
    with routed(model, attend), pytest.raises(ModelError, match=r"called .* 2 times"):
        model.encoder.layer = model.encoder.layer[:2]
        hidden(model, input_ids=tokens(1, 4))
    model = tiny(name)
    with routed(model, attend), pytest.raises(ModelError, match=r"layer 1 .*expected"):
        model.encoder.layer = torch.nn.ModuleList(reversed(model.encoder.layer))
        hidden(model, input_ids=tokens(1, 4))


def test_handler_of_the_wrong_shape_is_noticed():
    def handler(layer, query, key, value, mask, scale):
        return attend(layer, query, key, value, mask, scale).transpose(1, 2)

    model = tiny("bert")
    with routed(model, handler), pytest.raises(ArgumentError, match=r"\[B, L, H, D\]"):
        hidden(model, input_ids=tokens(1, 4))


@pytest.mark.parametrize("name", ["bert", "roformer", "t5"])
def test_models_that_would_meddle_with_each_other_are_refused(name):
    model = tiny(name)
    other = type(model)(model.config).eval()
    assert other.config is model.config
    with routed(model, attend):
        with pytest.raises(ModelError, match="already"), routed(model, attend):
            pass
        with pytest.raises(ModelError, match="already"), routed(other, attend):
            pass
        with pytest.raises(ModelError, match="not part of a model that is being analysed"):
            other(input_ids=tokens(1, 4))
        hidden(model, input_ids=tokens(1, 4))  # and the first is still routed
        with pytest.raises(ModelError, match="not part of a model that is being analysed"):
            other(input_ids=tokens(1, 4))  # also after a forward pass
    with routed(other, attend):
        hidden(other, input_ids=tokens(1, 4))
