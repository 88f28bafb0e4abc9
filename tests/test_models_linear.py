"""Linear layers by oneDNN: the same numbers, and the model as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, EsmConfig, EsmModel, XLNetConfig, XLNetModel

import provis_fast as pf
from provis_fast.models import activations, linear

SIZES = dict(
    vocab_size=30, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=160
)

if not linear._works():
    pytest.skip("this torch has no oneDNN", allow_module_level=True)


@pytest.fixture(params=["bert", "bert-tanh", "esm"])
def model(request):
    torch.manual_seed(0)
    if request.param == "esm":
        config = EsmConfig(**SIZES, position_embedding_type="rotary", pad_token_id=1)
        return EsmModel(config, add_pooling_layer=False).eval()
    act = "gelu" if request.param == "bert" else "gelu_new"
    return BertModel(BertConfig(**SIZES, hidden_act=act), add_pooling_layer=False).eval()


@pytest.fixture
def onednn(monkeypatch):
    monkeypatch.setenv(linear.VARIABLE, "onednn")


def changed(model):
    return [part for part in model.modules() if "forward" in vars(part)]


@pytest.mark.parametrize("shape", [(1, 500), (2, 7), (1, 1)])
def test_same_numbers(model, shape, onednn):
    ids = torch.randint(4, 24, shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        usual = model(input_ids=ids).last_hidden_state
        with linear.faster(model), activations.in_place(model):
            parts = changed(model)
            layers = [part for part in parts if type(part) is nn.Linear]
            assert layers == [part for part in model.modules() if type(part) is nn.Linear]
            assert len(layers) >= 2 * 6
            tanh = getattr(model.config, "hidden_act", "") == "gelu_new"
            assert len(parts) - len(layers) == (0 if tanh else 2)
            faster = model(input_ids=ids).last_hidden_state
        assert not changed(model)
        torch.testing.assert_close(faster, usual, rtol=0, atol=1e-5)
        assert torch.equal(model(input_ids=ids).last_hidden_state, usual)


def test_the_number_of_threads_changes_nothing(model, onednn):
    ids = torch.randint(4, 24, (1, 333), generator=torch.Generator().manual_seed(1))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with torch.inference_mode(), linear.faster(model):
                found.append(model(input_ids=ids).last_hidden_state)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_what_is_not_known_is_left_alone(model, onednn, monkeypatch):
    kept = []
    first = model.encoder.layer[0].intermediate
    first.dense.register_forward_hook(lambda module, args, output: kept.append(output))
    first.forward = (own := first.forward)  # somebody's own
    with torch.inference_mode(), linear.faster(model):
        assert first.forward is own
        model(input_ids=torch.tensor([[5, 6, 7]]))
    assert vars(first).pop("forward") is own
    assert len(kept) == 1
    assert not changed(model)
    model.bfloat16()
    with linear.faster(model):
        assert not changed(model)
    monkeypatch.setenv(linear.VARIABLE, "torch")
    model.float()
    with linear.faster(model):
        assert not changed(model)


def test_who_watches_a_layer_keeps_seeing_it(model, onednn):
    """GELU is applied with the product only where nobody counts on the product being called."""
    ids = torch.tensor([[5, 6, 7]])
    first, second = (layer.intermediate.dense for layer in model.encoder.layer)
    first.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    doubled = second.forward
    second.forward = lambda x: doubled(x) * 2
    with torch.inference_mode():
        expected = model(input_ids=ids).last_hidden_state
        with linear.faster(model):
            found = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_autocast_and_other_inputs_are_left_to_torch(model, onednn):
    with torch.autocast("cpu", torch.bfloat16), linear.faster(model):
        assert not changed(model)
    layer = next(part for part in model.modules() if type(part) is nn.Linear)
    wide = torch.zeros(1, layer.in_features, dtype=torch.float64)
    with linear.faster(model), pytest.raises(RuntimeError, match="dtype"):
        layer(wide)  # as torch has it


def test_restored_after_an_exception(model, onednn):
    with pytest.raises(ZeroDivisionError), linear.faster(model):
        assert changed(model)
        raise ZeroDivisionError
    assert not changed(model)


def test_choice(monkeypatch):
    monkeypatch.delenv(linear.VARIABLE, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for vendor, expected in [("AuthenticAMD", "onednn"), ("GenuineIntel", "torch"), ("", "torch")]:
        monkeypatch.setattr(linear, "_vendor", lambda vendor=vendor: vendor)
        assert linear.library() == expected
    monkeypatch.setattr(linear, "_vendor", lambda: "AuthenticAMD")
    assert linear.library("cuda") == linear.library("cpu", torch.bfloat16) == "torch"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert linear.library() == "torch"
    monkeypatch.setenv(linear.VARIABLE, "blas")
    with pytest.raises(pf.ProvisError, match="PROVIS_FAST_LINEAR: expected one of torch, onednn"):
        linear.library()
    monkeypatch.setenv(linear.VARIABLE, "onednn")
    monkeypatch.setattr(linear, "_works", lambda: False)
    with pytest.raises(pf.ProvisError, match="no oneDNN that could be used here; unset"):
        linear.library()


def test_products_of_xlnet(onednn):
    """Its attention multiplies with parameters, which are no layers."""
    torch.manual_seed(0)
    config = XLNetConfig(vocab_size=30, d_model=64, n_layer=2, n_head=2, d_inner=160)
    model = XLNetModel(config).eval()
    ids = torch.randint(4, 24, (2, 70), generator=torch.Generator().manual_seed(1))
    types = (torch.arange(70) > 60).long().expand(2, -1)
    mask = (torch.arange(70) < torch.tensor([[70], [50]])).long()
    for given in ({}, dict(token_type_ids=types, attention_mask=mask)):
        with torch.inference_mode():
            usual = model(input_ids=ids, **given)
            with linear.faster(model):
                kinds = [type(part).__name__ for part in changed(model)]
                assert kinds.count("XLNetRelativeAttention") == 2
                faster = model(input_ids=ids, **given)
                attentions = model(input_ids=ids, **given, output_attentions=True).attentions
                again = model(input_ids=ids, mems=usual.mems, **given).last_hidden_state
            continued = model(input_ids=ids, mems=usual.mems, **given).last_hidden_state
        assert not changed(model)
        torch.testing.assert_close(
            faster.last_hidden_state, usual.last_hidden_state, rtol=0, atol=1e-5
        )
        torch.testing.assert_close(again, continued, rtol=0, atol=1e-5)
        assert len(attentions) == 2
