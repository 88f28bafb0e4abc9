"""Routing a model's attention to a handler: same outputs, right layers, nothing left behind."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
import transformers
from tiny_models import CONFIGS, attend, attend_within, hidden, tiny, tiny_of, tokens

from provis_fast.models import FAMILIES, StopForward, routed

NAMES = sorted(CONFIGS)


def snapshot(model: torch.nn.Module) -> tuple:
    """Everything that routing touches."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_pre_hooks_with_kwargs))
        for m in model.modules()
    ]
    attributes = [sorted(vars(m)) for m in model.modules()]
    configs = [copy.deepcopy(vars(m.config)) for m in model.modules() if hasattr(m, "config")]
    return hooks, attributes, configs


def test_every_family_is_tested():
    assert {CONFIGS[name]().model_type for name in NAMES} == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_padded_batch_equals_sdpa(name):
    model = tiny(name)
    ids, mask = tokens(3, 17), torch.ones(3, 17, dtype=torch.long)
    for row, length in enumerate((17, 9, 1)):
        mask[row, length:] = 0
        ids[row, length:] = 1
    expected = hidden(model, input_ids=ids, attention_mask=mask)
    layers, masks = [], []

    def handler(layer, query, key, value, mask, scale, **terms):
        layers.append(layer)
        masks.append(mask)
        assert query.shape == key.shape == value.shape
        assert query.shape[:3] == (3, 2, 17)
        return attend(layer, query, key, value, mask, scale, **terms)

    with routed(model, handler) as routing:
        found = hidden(model, input_ids=ids, attention_mask=mask)
    assert layers == list(range(routing.n_layers))
    assert routing.n_heads == 2
    for seen in masks:
        assert seen.dtype == torch.bool and torch.equal(seen, mask.bool())
    valid = mask.bool()
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_numbered_as_their_weights(name):
    """Queries reach the handler from the module that stands at that place in the model."""
    model = tiny(name)
    called = []
    names = ("query", "q_lin", "q_proj", "q", "Wqkv", "rel_attn")
    linears = [m for n, m in model.named_modules() if n.rsplit(".", 1)[-1] in names]
    hooks = [m.register_forward_pre_hook(lambda m, args: called.append(m)) for m in linears]
    projected = []

    def handler(layer, query, key, value, mask, scale, **terms):
        projected.append((layer, called[-1]))
        return attend(layer, query, key, value, mask, scale, **terms)

    with routed(model, handler) as routing:
        hidden(model, input_ids=tokens(1, 5))
    for hook in hooks:
        hook.remove()
    per_group = routing.n_layers // len(linears)
    assert [linears.index(m) for _, m in projected] == [
        layer // per_group for layer in range(routing.n_layers)
    ]
    assert [layer for layer, _ in projected] == list(range(routing.n_layers))


@pytest.mark.parametrize("name", NAMES)
def test_without_mask_nothing_is_made(name):
    """No mask of tokens x tokens comes into being: the mask function hands on what it got."""
    model = tiny(name)
    masks = []

    def handler(layer, query, key, value, mask, scale, **terms):
        masks.append(mask)
        return attend(layer, query, key, value, mask, scale, **terms)

    ids = tokens(2, 12)
    expected = hidden(model, input_ids=ids)
    with routed(model, handler):
        found = hidden(model, input_ids=ids)
    # RoFormer makes a mask of ones itself.
    assert masks and all(mask is None or (mask.shape == (2, 12) and mask.all()) for mask in masks)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


HEADS = [
    (transformers.EsmForMaskedLM, "esm-rotary"),
    (transformers.EsmForSequenceClassification, "esm-absolute"),
    (transformers.EsmForTokenClassification, "esm-rotary"),
    (transformers.BertForMaskedLM, "bert"),
    (transformers.BertForSequenceClassification, "bert"),
    (transformers.RobertaForMaskedLM, "roberta"),
    (transformers.AlbertForMaskedLM, "albert"),
    (transformers.ElectraForPreTraining, "electra"),
    (transformers.RoFormerForMaskedLM, "roformer"),
    (transformers.T5ForTokenClassification, "t5"),
]


@pytest.mark.parametrize(("model_class", "name"), HEADS)
def test_model_with_head(model_class, name):
    model = tiny_of(model_class, CONFIGS[name]())
    before = snapshot(model)
    ids = tokens(2, 11)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    layers = []

    def handler(layer, *rest, **terms):
        layers.append(layer)
        return attend(layer, *rest, **terms)

    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
        with routed(model, handler) as routing:
            found = model(input_ids=ids, attention_mask=mask).logits
            model(input_ids=ids, attention_mask=mask)
    assert layers == [*range(routing.n_layers)] * 2
    stack = "encoder" if name == "t5" else ""  # T5's encoder holds its embeddings a second time
    assert routing.encoder is model.base_model.get_submodule(stack)
    keep = mask.bool() if found.dim() == 3 or found.shape == mask.shape else slice(None)
    torch.testing.assert_close(found[keep], expected[keep], atol=1e-5, rtol=0)
    assert snapshot(model) == before


def test_encoder_inside_somebody_elses_module():
    class Pipeline(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = tiny("bert")

        def forward(self, ids):
            return self.encoder(input_ids=ids).last_hidden_state.mean(1)

    pipeline = Pipeline().eval()
    with torch.no_grad():
        expected = pipeline(tokens(2, 5))
        with routed(pipeline, attend) as routing:
            found = pipeline(tokens(2, 5))
    assert routing.encoder is pipeline.encoder
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


class Broken(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [Broken, StopForward, KeyboardInterrupt])
def test_restored_after_exception(name, error):
    model = tiny(name)
    ids = tokens(2, 9)
    expected = hidden(model, input_ids=ids)
    before = snapshot(model)

    def handler(layer, query, key, value, mask, scale, **terms):
        if layer == 1:
            raise error
        return attend(layer, query, key, value, mask, scale, **terms)

    with pytest.raises(error), routed(model, handler):
        hidden(model, input_ids=ids)
    assert snapshot(model) == before
    assert torch.equal(hidden(model, input_ids=ids), expected)


@pytest.mark.parametrize("name", ["bert", "albert", "roformer", "t5"])
def test_layers_begin_anew_after_a_forward_pass_that_stopped(name):
    model = tiny(name)
    layers = []

    def handler(layer, *rest, **terms):
        layers.append(layer)
        if layer == 1 and len(layers) == 2:
            raise StopForward
        return attend(layer, *rest, **terms)

    with routed(model, handler) as routing:
        with pytest.raises(StopForward):
            hidden(model, input_ids=tokens(1, 4))
        hidden(model, input_ids=tokens(1, 4))
    assert layers == [0, 1, *range(routing.n_layers)]


def test_implementation_chosen_before_is_restored():
    model = tiny("bert")
    model.set_attn_implementation("eager")
    with routed(model, attend):
        assert model.config._attn_implementation == "provis_fast"
    assert model.config._attn_implementation == "eager"


def test_half_precision_and_layouts():
    model = tiny("esm-rotary").to(torch.bfloat16)
    seen = []

    def handler(layer, query, key, value, mask, scale, **terms):
        seen.append((query.dtype, query.stride(-1)))
        return attend(layer, query, key, value, mask, scale, **terms)

    with routed(model, handler):
        hidden(model, input_ids=tokens(2, 6))
    assert set(seen) == {(torch.bfloat16, 1)}


@pytest.mark.parametrize("name", ["bert", "roformer", "t5"])
def test_two_models_and_two_threads_at_once(name):
    models = [tiny(name, seed=s) for s in (0, 1)]
    ids = [tokens(2, 8, seed=s) for s in (2, 3)]
    expected = [[hidden(m, input_ids=i) for i in ids] for m in models]
    found: dict[tuple[int, int], torch.Tensor] = {}

    def work(m: int, i: int) -> None:
        for _ in range(5):
            found[m, i] = hidden(models[m], input_ids=ids[i])

    with routed(models[0], attend), routed(models[1], attend):
        threads = [threading.Thread(target=work, args=(m, i)) for m in (0, 1) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for m in (0, 1):
        for i in (0, 1):
            torch.testing.assert_close(found[m, i], expected[m][i], atol=1e-5, rtol=0)


def test_packed_handler_isolates():
    """The handler alone decides who sees whom: used as a control for the packing tests."""
    model = tiny("esm-rotary")
    ids = tokens(1, 12)
    with routed(model, attend_within([0, 5, 12])):
        first = hidden(model, input_ids=ids)
    changed = ids.clone()
    changed[0, 5:] = 7
    with routed(model, attend_within([0, 5, 12])):
        second = hidden(model, input_ids=changed)
    assert torch.equal(first[0, :5], second[0, :5])
    assert not torch.equal(first[0, 5:], second[0, 5:])
