"""ESM's activation in place: the same bits, and the model as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel, EsmConfig, EsmModel
from transformers.models.esm import modeling_esm

from provis_fast.models import activations

SIZES = dict(vocab_size=30, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)


@pytest.fixture
def esm():
    torch.manual_seed(0)
    config = EsmConfig(
        **SIZES, intermediate_size=96, position_embedding_type="rotary", pad_token_id=1
    )
    return EsmModel(config, add_pooling_layer=False).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 500), (2, 7), (1, 1)])
def test_same_bits(esm, shape, dtype):
    esm.to(dtype)
    ids = torch.randint(4, 24, shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        usual = esm(input_ids=ids).last_hidden_state
        with activations.in_place(esm):
            parts = [m for m in esm.modules() if type(m) is modeling_esm.EsmIntermediate]
            assert len(parts) == 2 and all("forward" in vars(part) for part in parts)
            changed = esm(input_ids=ids).last_hidden_state
        assert not any("forward" in vars(part) for part in parts)
        assert torch.equal(changed, usual)
        assert torch.equal(esm(input_ids=ids).last_hidden_state, usual)


def test_restored_after_an_exception(esm):
    with pytest.raises(ZeroDivisionError), activations.in_place(esm):
        raise ZeroDivisionError
    assert not any("forward" in vars(part) for part in esm.modules())


def test_what_is_not_known_is_left_alone(esm, monkeypatch):
    kept = []
    esm.encoder.layer[0].intermediate.dense.register_forward_hook(
        lambda module, args, output: kept.append(output)
    )
    with activations.in_place(esm):
        changed = [part for part in esm.modules() if "forward" in vars(part)]
    assert len(changed) == 1  # the other layer's output may be kept by the hook
    bert = BertModel(BertConfig(**SIZES, intermediate_size=64))
    with activations.in_place(bert):
        assert not any("forward" in vars(part) for part in bert.modules())
    # A transformers whose activation is another one.
    monkeypatch.setattr(modeling_esm, "gelu", torch.nn.functional.silu)
    activations._same_numbers.cache_clear()
    try:
        with activations.in_place(esm):
            assert not any("forward" in vars(part) for part in esm.modules())
    finally:
        activations._same_numbers.cache_clear()
