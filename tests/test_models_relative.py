"""ModernBERT's windows and XLNet's relative attention, against transformers' eager attention."""

from __future__ import annotations

import analysis_cases
import numpy as np
import pytest
import tiny_models
import torch
import transformers
from tiny_models import CONFIGS, attend, hidden, tiny, tiny_of, tokens
from torch.utils._python_dispatch import TorchDispatchMode

import provis_fast as pf
from provis_fast.errors import ModelError
from provis_fast.models import Model, route, routed

NAMES = ("modernbert", "xlnet", "xlnet-clamped")
THETA = 0.3
PROPERTIES = ("amino_acid", "separation", "hydrophobicity")
LENGTHS = (1, 60, 2, 33, 127, 90, 1, 100, 127, 5, 120)


def sharp(name):
    """A tiny model whose heads have arcs."""
    return tiny_models.sharpen(tiny(name), 3.0)


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory):
    """An encoder, its tokenizer, the same as a `Model`, and proteins."""
    encoder = sharp(request.param)
    tokenizer = tiny_models.esm_tokenizer(tmp_path_factory.mktemp(request.param))
    model = Model(encoder, tokenizer, request.param)
    return encoder, tokenizer, model, analysis_cases.random_proteins(LENGTHS, seed=4)


def eager_attention(model, protein, **named):
    """float64 [layers, heads, L, L] among residues, as transformers computes it."""
    ids = torch.from_numpy(model.tokens.encode(protein.sequence))
    a = analysis_cases.float64_attention(model.module, ids, **named)
    inside = slice(model.tokens.n_prefix, a.shape[-1] - model.tokens.n_suffix)
    return a[:, :, inside, inside]


def test_analysis_counts_what_eager_attention_has(case):
    _, _, model, proteins = case
    result = pf.analyze(model, proteins, PROPERTIES, threshold=THETA, weighting="both")
    arcs, mass, near = 0, 0.0, 0
    for protein in proteins:
        a = eager_attention(model, protein)
        arcs = arcs + (a >= THETA).sum((-1, -2))
        mass = mass + a.sum((-1, -2))
        near += int((np.abs(a - THETA) <= 1e-5).sum())
    assert arcs.sum() >= 1000
    assert near <= 2, "too many weights at the threshold: take another seed"
    assert np.abs(result.arcs - arcs).sum() <= near
    np.testing.assert_allclose(result.mass, mass, rtol=1e-5)


def test_packed_counts_like_one_by_one(case):
    _, _, model, proteins = case
    packed = pf.analyze(model, proteins, PROPERTIES, threshold=THETA, weighting="both")
    alone = pf.merge([pf.analyze(model, [p], PROPERTIES, weighting="both") for p in proteins])
    np.testing.assert_array_equal(packed.arcs, alone.arcs)
    for name in PROPERTIES[:2]:
        np.testing.assert_array_equal(packed.counts[name], alone.counts[name])
    np.testing.assert_allclose(packed.mass, alone.mass, rtol=1e-5)


def test_padded_batches_of_somebody_elses_pipeline(case):
    encoder, tokenizer, model, proteins = case
    text = [protein.sequence for protein in proteins[:4]]
    inputs = tokenizer(text, padding=True, return_tensors="pt", return_token_type_ids=False)
    expected = hidden(encoder, **inputs)
    with pf.attach(encoder, tokenizer, PROPERTIES, THETA) as tap:
        found = hidden(encoder, **inputs)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)
    result, alone = tap.result(), pf.analyze(model, proteins[:4], PROPERTIES, threshold=THETA)
    assert alone.arcs.sum() > 200
    assert np.abs(result.arcs - alone.arcs).sum() <= 2
    assert result.model["digest"] == alone.model["digest"]


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, torch.Tensor):
                self.numel = max(self.numel, x.numel())
        return out


def test_nothing_of_tokens_times_tokens_is_formed(case):
    encoder = case[0]
    ids = tokens(1, 600)
    given = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    if encoder.config.model_type == "xlnet":
        given["token_type_ids"] = (torch.arange(600) > 400).long()[None]
    ours, theirs = LargestTensor(), LargestTensor()
    with theirs:
        hidden(encoder, **given)
    with pf.attach(encoder, properties=("separation",), residues=torch.ones(1, 600).bool()), ours:
        hidden(encoder, **given)
    assert theirs.numel >= 600 * 600
    assert ours.numel < 600 * 130


def test_windows_reach_the_handler_of_local_layers_alone():
    seen = []

    def handler(layer, *args, **terms):
        seen.append(terms)
        return attend(layer, *args, **terms)

    with routed(tiny("modernbert"), handler):
        hidden(tiny_model := tiny("modernbert"), input_ids=tokens(1, 9))  # another model, untouched
        assert tiny_model.config._attn_implementation == "sdpa" and not seen
    model = tiny("modernbert")
    with routed(model, handler):
        hidden(model, input_ids=tokens(1, 30))
    assert seen == [{}, {"window": 7}, {"window": 7}]


def test_another_mask_between_tokens_is_refused(monkeypatch):
    model = tiny("modernbert")
    mask = transformers.masking_utils.sliding_window_causal_mask_function
    name = "sliding_window_bidirectional_mask_function"
    monkeypatch.setattr(transformers.masking_utils, name, mask)
    with routed(model, attend), pytest.raises(ModelError, match="restricts which tokens"):
        hidden(model, input_ids=tokens(1, 30))


@pytest.mark.parametrize("types", [[0] * 20, [0] * 12 + [1] * 7 + [2], [3] * 5 + [1] * 15])
def test_token_types_of_xlnet(types):
    model = sharp("xlnet")
    ids = tokens(2, 20)
    given = dict(input_ids=ids, token_type_ids=torch.tensor([types, types[::-1]]))
    given["attention_mask"] = torch.ones_like(ids)
    given["attention_mask"][1, 15:] = 0
    real = given["attention_mask"].bool()
    expected = hidden(model, **given)
    with routed(model, attend):
        found = hidden(model, **given)
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)
    plain = hidden(model, input_ids=ids, attention_mask=given["attention_mask"])
    assert (len(set(types)) == 1) == torch.allclose(plain[real], expected[real], atol=1e-4)
    eager = tiny_models.sharpen(tiny("xlnet"), 3.0).double()
    with torch.no_grad():
        a = torch.stack(eager(**given, output_attentions=True).attentions).numpy()
    residues = real & (torch.arange(20) < 17)
    with pf.attach(model, properties=("separation",), threshold=0.1, residues=residues) as tap:
        hidden(model, **given)
    pairs = (residues[:, :, None] & residues[:, None, :]).numpy()
    arcs = ((a >= 0.1) & pairs[None, :, None]).sum((1, 3, 4))
    assert arcs.sum() > 200
    np.testing.assert_array_equal(tap.result().arcs, arcs)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (dict(mems=[torch.zeros(4, 1, 24)] * 3), "with mems: give the whole sequence"),
        (dict(perm_mask=torch.zeros(1, 9, 9)), "with perm_mask"),
        (dict(target_mapping=torch.zeros(1, 1, 9)), "with target_mapping"),
        (dict(input_mask=torch.zeros(1, 9)), "with input_mask: give attention_mask"),
        (dict(output_attentions=True), "attention matrices"),
        (dict(attention_mask=torch.ones(1, 9, 9)), "padding mask of shape"),
    ],
)
def test_what_xlnet_is_refused(given, match):
    model = tiny("xlnet")
    expected = hidden(model, input_ids=tokens(1, 9))
    with routed(model, attend), pytest.raises(ModelError, match=match):
        model(input_ids=tokens(1, 9), **given)
    assert torch.equal(hidden(model, input_ids=tokens(1, 9)), expected)


def test_xlnet_in_training_and_layers_by_themselves_are_refused():
    model = tiny("xlnet")
    with routed(model, attend):
        with pytest.raises(ModelError, match="training mode"):
            model.train()(input_ids=tokens(1, 9))
        model.eval()
        x, r = torch.zeros(9, 1, 24), torch.zeros(18, 1, 24)
        with pytest.raises(ModelError, match="outside a forward pass of its XLNetModel"):
            model.layer[0](x, None, None, None, r, None)
        hidden(model, input_ids=tokens(1, 9))


@pytest.mark.parametrize("change", [dict(attn_type="uni"), dict(bi_data=True)])
def test_xlnets_that_do_not_see_the_whole_sequence_are_refused(change):
    config = CONFIGS["xlnet"]()
    for name, value in change.items():
        setattr(config, name, value)
    with pytest.raises(ModelError, match=r"attn_type=.*expected 'bi' and False"):
        route(tiny_of(transformers.XLNetModel, config))


def test_mems_of_a_pipeline_are_returned_as_before():
    model = tiny("xlnet")
    with torch.no_grad():
        expected = model(input_ids=tokens(2, 9)).mems
        with routed(model, attend):
            found = model(input_ids=tokens(2, 9)).mems
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_xlnet_with_a_head():
    model = tiny_of(transformers.XLNetForSequenceClassification, CONFIGS["xlnet"]())
    given = dict(input_ids=tokens(2, 11), token_type_ids=torch.tensor([[0] * 10 + [2]] * 2))
    with torch.no_grad():
        expected = model(**given).logits
        with routed(model, attend) as routing:
            found = model(**given).logits
    assert routing.encoder is model.transformer
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_packed_rows_of_somebody_elses_pipeline(case):
    encoder, _, model, proteins = case
    ids = [torch.from_numpy(model.tokens.encode(p.sequence)) for p in proteins]
    bounds = torch.tensor([0, *np.cumsum([len(one) for one in ids])], dtype=torch.int32)
    ends = {int(token) for token in (*model.tokens.prefix, *model.tokens.suffix)}
    row = torch.cat(ids)[None]
    residues = ~torch.isin(row, torch.tensor(sorted(ends)))
    with pf.attach(encoder, properties=("separation",), threshold=THETA, residues=residues) as tap:
        hidden(encoder, input_ids=row, cu_seq_lens_q=bounds)
    alone = pf.analyze(model, proteins, ("separation",), threshold=THETA)
    assert tap.result().analysed == len(proteins)
    assert np.abs(tap.result().arcs - alone.arcs).sum() <= 2
