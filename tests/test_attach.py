"""Listening in on somebody else's model."""

from __future__ import annotations

import copy

import analysis_cases
import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, EsmForMaskedLM

import provis_fast as pf
from provis_fast.accumulate import BatchStatistics
from provis_fast.errors import ArgumentError, ModelError

PROPERTIES = ("amino_acid", "separation", "hydrophobicity", "amino_acid_pair")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = analysis_cases.save_bert(tmp_path_factory.mktemp("bert"))
    model = BertForMaskedLM.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder), pf.load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    folder = analysis_cases.save_esm(tmp_path_factory.mktemp("esm"))
    model = EsmForMaskedLM.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder), pf.load_model(folder, device="cpu")


def tokenised(tokenizer, proteins, separator):
    texts = [separator.join(p.sequence) for p in proteins]
    return tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)


def assert_same_statistics(a, b, properties, arcs_apart=0):
    assert a.analysed == b.analysed
    assert np.abs(a.arcs - b.arcs).sum() <= arcs_apart
    for name in properties:
        assert np.abs(a.eligible[name] - b.eligible[name]).sum() <= arcs_apart
        np.testing.assert_array_equal(a.background[name], b.background[name])


@pytest.mark.parametrize("family", ["bert", "esm"])
@pytest.mark.parametrize("grad", [True, False])
def test_padded_batches_count_like_analyze_and_outputs_agree(family, grad, request):
    model, tokenizer, ours = request.getfixturevalue(family)
    separator = " " if family == "bert" else ""
    letters = analysis_cases.AMINO_ACIDS + "X"
    proteins = analysis_cases.random_proteins([1, 60, 33, 100, 127], letters=letters)
    inputs = tokenised(tokenizer, proteins, separator)
    with torch.no_grad():
        expected = model(**inputs).logits
    with torch.set_grad_enabled(grad), pf.attach(model, tokenizer, PROPERTIES) as tap:
        for rows in (slice(0, 2), slice(2, 5)):  # the second one has more padding than tokens
            part = {name: x[rows] for name, x in inputs.items()}
            logits = model(**part).logits.detach()
            real = part["attention_mask"].bool()
            assert (logits - expected[rows])[real].abs().max() < 1e-5
    result = tap.result()
    alone = pf.analyze(ours, proteins, PROPERTIES)
    assert result.arcs.sum() >= 1000
    assert_same_statistics(result, alone, PROPERTIES, arcs_apart=3)
    assert result.residues == alone.residues
    assert result.model["digest"] == alone.model["digest"]


@pytest.mark.parametrize("lengths", [[50, 50], [50, 30]])
def test_a_mask_that_forbids_nothing_is_left_out(bert, monkeypatch, lengths):
    model, tokenizer, _ = bert
    masks = []
    attend = BatchStatistics.attend

    def watched(self, *arguments, **options):
        masks.append(options["key_mask"])
        return attend(self, *arguments, **options)

    monkeypatch.setattr(BatchStatistics, "attend", watched)
    proteins = analysis_cases.random_proteins(lengths)
    with torch.no_grad(), pf.attach(model, tokenizer):
        model(**tokenised(tokenizer, proteins, " "))
    assert len(masks) == 3
    assert all((mask is None) == (lengths[0] == lengths[1]) for mask in masks)


def test_against_float64(bert):
    model, tokenizer, ours = bert
    protein = analysis_cases.random_proteins([90], seed=2)[0]
    with torch.no_grad(), pf.attach(model, tokenizer, threshold=(0.2, 0.5), layers=[0, 2]) as tap:
        model(**tokenised(tokenizer, [protein], " "))
    ids = torch.from_numpy(ours.tokens.encode(protein.sequence))
    a = analysis_cases.float64_attention(ours.module, ids)[[0, 2]][:, :, 1:-1, 1:-1]
    expected = np.stack([(a >= theta).sum((-1, -2)) for theta in (0.2, 0.5)])
    assert expected.sum() > 200
    np.testing.assert_array_equal(tap.result().arcs, expected)
    assert tap.result().layers == (0, 2)


def test_labels_of_expected_proteins(bert):
    model, tokenizer, ours = bert
    proteins = analysis_cases.random_proteins([40, 77, 12])
    properties = ["contact", "secondary_structure", "binding_site", "amino_acid"]
    with torch.inference_mode(), pf.attach(model, tokenizer, properties) as tap:
        for batch in (proteins[:2], proteins[2:]):
            tap.expect(batch)
            model(**tokenised(tokenizer, batch, " "))
    alone = pf.analyze(ours, proteins, properties)
    assert_same_statistics(tap.result(), alone, properties, arcs_apart=2)


def test_expectations_are_checked(bert):
    model, tokenizer, _ = bert
    a, b = analysis_cases.random_proteins([40, 40])
    short = pf.Protein("short", a.sequence[:39])
    inputs = tokenised(tokenizer, [a, b], " ")
    with torch.no_grad(), pf.attach(model, tokenizer, ["contact"]) as tap:
        with pytest.raises(ArgumentError, match=r"contact need\(s\).*tap.expect"):
            model(**inputs)
        tap.expect([a])
        with pytest.raises(ArgumentError, match="announced 1, the forward pass has 2"):
            model(**inputs)
        tap.expect([short, b])
        with pytest.raises(ArgumentError, match=r"'short' has 39 residues.* 40 residue tokens"):
            model(**inputs)
        tap.expect([b, a])
        with pytest.raises(ArgumentError, match="in the batch's order"):
            model(**inputs)
        tap.expect([a, b])
        model(**inputs)
        with pytest.raises(ArgumentError, match=r"tap\.expect"):
            model(**inputs)  # an expectation holds for one pass
        with pytest.raises(ArgumentError, match="got str"):
            tap.expect(["p0"])
    assert tap.result().analysed == 2


def test_rows_of_padding_are_no_proteins(bert):
    """Data loaders fill up their last batch."""
    model, tokenizer, ours = bert
    proteins = analysis_cases.random_proteins([40, 77])
    properties = [*PROPERTIES, "contact", "binding_site"]
    inputs = tokenised(tokenizer, proteins, " ")
    ids = inputs["input_ids"].new_full((4, 79), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    ids[[0, 2]], mask[[0, 2]] = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad(), pf.attach(model, tokenizer, properties, weighting="both") as tap:
        tap.expect(proteins)
        model(input_ids=ids, attention_mask=mask)
        tap.expect([])
        model(input_ids=ids[1:2], attention_mask=mask[1:2])  # nothing at all
        tap.expect(proteins * 2)
        with pytest.raises(ArgumentError, match="announced 4, the forward pass has 2 sequences"):
            model(input_ids=ids, attention_mask=mask)
    with torch.no_grad(), pf.attach(model, tokenizer, PROPERTIES) as from_tokens:
        model(input_ids=ids, attention_mask=mask)
    for result, names in ((tap.result(), properties), (from_tokens.result(), PROPERTIES)):
        alone = pf.analyze(ours, proteins, names)
        assert_same_statistics(result, alone, names, arcs_apart=2)
        assert (result.analysed, result.residues, result.set_aside) == (2, 117, [])


def test_packed_rows(bert):
    model, tokenizer, ours = bert
    proteins = analysis_cases.random_proteins([20, 61, 1], seed=8)
    ids = [torch.from_numpy(ours.tokens.encode(p.sequence)) for p in proteins]
    ends = torch.tensor([0, *(len(x) for x in ids)]).cumsum(0)
    with torch.no_grad(), pf.attach(model, tokenizer, PROPERTIES) as tap:
        model(
            input_ids=torch.cat(ids)[None],
            position_ids=torch.cat([torch.arange(len(x)) for x in ids])[None],
            cu_seq_lens_q=ends.to(torch.int32),
            cu_seq_lens_k=ends.to(torch.int32),
        )
    assert_same_statistics(tap.result(), pf.analyze(ours, proteins, PROPERTIES), PROPERTIES)


def test_masked_and_unknown_tokens_are_residues(bert):
    """A masked residue has no known letter; it attends and is attended to all the same."""
    model, tokenizer, _ = bert
    protein = analysis_cases.random_proteins([50])[0]
    inputs = tokenised(tokenizer, [protein], " ")
    inputs["input_ids"][0, 5] = tokenizer.mask_token_id
    inputs["input_ids"][0, 6] = tokenizer.unk_token_id
    with torch.no_grad(), pf.attach(model, tokenizer, "amino_acid", threshold=0.05) as tap:
        model(**inputs)
    result = tap.result()
    assert result.residues == 50
    assert 0 < result.eligible["amino_acid"].sum() < result.arcs.sum()
    assert result.totals["background_den"].to_int64().tolist() == [49]
    assert result.background["amino_acid"][-1] == pytest.approx(1 / 49)  # "other": unknown token


def test_residues_of_the_users_own(bert):
    model, tokenizer, _ = bert
    protein = analysis_cases.random_proteins([50])[0]
    inputs = tokenised(tokenizer, [protein], " ")
    ids = inputs["input_ids"]
    usual = torch.ones_like(ids, dtype=torch.bool)
    usual[:, [0, -1]] = False
    with torch.no_grad():
        with pf.attach(model, tokenizer) as tap:
            model(**inputs)
        with pf.attach(model, residues=usual, properties="separation") as with_mask:
            model(**inputs)
        with pf.attach(model, residues=lambda ids, mask: ids > 4, properties=()) as with_function:
            model(ids)  # positional, and without a mask
        with pf.attach(model, tokenizer, properties=()) as from_embeddings:
            embeddings = model.get_input_embeddings()(ids)
            with pytest.raises(ArgumentError, match="without input_ids"):
                model(inputs_embeds=embeddings)
        with pf.attach(model, residues=usual, properties=()) as from_embeddings:
            model(inputs_embeds=embeddings)
        half = usual.clone()
        half[:, 20:] = False
        with pf.attach(model, residues=half, properties=()) as of_half:
            model(**inputs)
        with pf.attach(model, residues=usual[:, :9], properties=()):
            with pytest.raises(ArgumentError, match=r"residues: expected bool \[1, 52\]"):
                model(**inputs)
        with pf.attach(model, residues=usual) as without_letters:
            with pytest.raises(ArgumentError, match=r"amino_acid need.*tokenizer="):
                model(**inputs)
            without_letters.expect(protein)
            model(**inputs)
    for other in (with_mask, with_function, from_embeddings, without_letters):
        np.testing.assert_array_equal(tap.result().arcs, other.result().arcs)
    assert of_half.result().residues == 19


def state(model):
    """Everything that a tap might leave behind."""
    return (
        [
            (n, id(m), dict(m._forward_hooks), dict(m._forward_pre_hooks), m.forward.__func__)
            for n, m in model.named_modules()
        ],
        model.config.to_dict(),
        model.config._attn_implementation,
        model.training,
    )


def test_the_model_is_left_as_it_was(bert):
    model, tokenizer, _ = bert
    inputs = tokenised(tokenizer, analysis_cases.random_proteins([30]), " ")
    before = state(model)
    with torch.no_grad():
        expected = model(**inputs).logits
        with pf.attach(model, tokenizer):
            model(**inputs)
        assert state(model) == before
        with pytest.raises(ZeroDivisionError), pf.attach(model, tokenizer) as tap:
            model(**inputs)
            raise ZeroDivisionError
        assert tap.result().analysed == 1  # what was counted before stays
        with pf.attach(model, tokenizer, ["contact"]), pytest.raises(ArgumentError):
            model(**inputs)
        assert state(model) == before
        assert torch.equal(model(**inputs).logits, expected)


def test_a_failed_pass_is_not_counted(bert):
    model, tokenizer, _ = bert
    inputs = tokenised(tokenizer, analysis_cases.random_proteins([30]), " ")

    def fail(*_):
        raise ZeroDivisionError

    with torch.no_grad(), pf.attach(model, tokenizer) as tap:
        hook = model.bert.encoder.layer[2].output.register_forward_hook(fail)
        with pytest.raises(ZeroDivisionError):
            model(**inputs)
        hook.remove()
        assert tap.result().analysed == 0
        model(**inputs)
        model.bert(**inputs)  # past the head
    assert tap.result().analysed == 2


def test_nesting_is_refused(bert):
    model, tokenizer, _ = bert
    inputs = tokenised(tokenizer, analysis_cases.random_proteins([30]), " ")
    before = state(model)
    tap = pf.attach(model, tokenizer)
    with torch.no_grad(), tap:
        with pytest.raises(ModelError, match="already"), pf.attach(model, tokenizer):
            pass
        with pytest.raises(ArgumentError, match="open already"), tap:
            pass
        model(**inputs)  # the outer one goes on
    with torch.no_grad(), tap:  # and may be opened again
        model(**inputs)
    assert tap.result().analysed == 2
    assert state(model) == before


def test_not_finite_is_set_aside_and_the_pipeline_goes_on(bert):
    model, tokenizer, _ = bert
    model = copy.deepcopy(model)
    proteins = analysis_cases.random_proteins([30, 40])
    inputs = tokenised(tokenizer, proteins, " ")
    with torch.no_grad():
        with pf.attach(model, tokenizer) as clean:
            model(**{name: x[:1] for name, x in inputs.items()})
        embeddings = model.get_input_embeddings()(inputs["input_ids"])
        embeddings[1, 3] = float("nan")
        with pf.attach(model, tokenizer, residues=lambda *_: inputs["input_ids"] > 4) as tap:
            tap.expect(proteins)
            model(inputs_embeds=embeddings, attention_mask=inputs["attention_mask"])
    result = tap.result()
    assert [(a["id"], a["status"]) for a in result.set_aside] == [("p1", "failed")]
    assert result.analysed == 1
    assert np.abs(result.arcs - clean.result().arcs).sum() <= 1


def test_poisoned_padding_never_leaks(bert):
    model, tokenizer, _ = bert
    proteins = analysis_cases.random_proteins([30, 90])
    inputs = tokenised(tokenizer, proteins, " ")
    mask = inputs["attention_mask"]
    assert (mask[0] == 0).sum() == 60
    embeddings = model.get_input_embeddings()(inputs["input_ids"]).detach()
    embeddings[0, mask[0] == 0] = float("nan")
    with torch.no_grad():
        with pf.attach(model, residues=lambda *_: inputs["input_ids"] > 4, properties=()) as tap:
            model(inputs_embeds=embeddings, attention_mask=mask)
        with pf.attach(model, tokenizer, properties=()) as clean:
            model(**inputs)
    assert not tap.result().set_aside
    np.testing.assert_array_equal(tap.result().arcs, clean.result().arcs)


def test_bad_arguments(bert):
    model, tokenizer, _ = bert
    with pytest.raises(ArgumentError, match="tokenizer, residues: expected one of them"):
        pf.attach(model)
    with pytest.raises(ArgumentError, match="hf_model"):
        pf.attach("bert", tokenizer)
    with pytest.raises(ArgumentError, match="residues: expected a bool tensor"):
        pf.attach(model, residues=[True])
    with pytest.raises(ArgumentError, match="threshold"):
        pf.attach(model, tokenizer, threshold=2)
    with pytest.raises(ArgumentError, match="layers"):
        pf.attach(model, tokenizer, layers=[5])
    with pytest.raises(ModelError):
        pf.attach(torch.nn.Linear(2, 2), tokenizer)


def test_padding_within_packed_sequences(tmp_path):
    """The mask holds beside the boundaries: what it hides is seen by no token."""
    tokenizer = tiny_models.esm_tokenizer(tmp_path)
    model = tiny_models.tiny("bert", factor=18.0)
    rows = [tokenizer(s, padding="max_length", max_length=14) for s in ("ACDEFGHIK", "MKV")]
    ids = torch.tensor([row["input_ids"] for row in rows])
    mask = torch.tensor([row["attention_mask"] for row in rows])
    packed = dict(
        input_ids=ids.view(1, -1),
        attention_mask=mask.view(1, -1),
        position_ids=torch.arange(14).repeat(2)[None],
        cu_seq_lens_q=torch.tensor([0, 14, 28], dtype=torch.int32),
    )
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
        with pf.attach(model, tokenizer) as apart:
            model(input_ids=ids, attention_mask=mask)
        with pf.attach(model, tokenizer) as together:
            found = model(**packed).last_hidden_state.view(expected.shape)
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)
    assert apart.result().arcs.sum() > 20
    np.testing.assert_array_equal(together.result().arcs, apart.result().arcs)


def test_tokens_that_are_no_single_residue(bert):
    model, _, _ = bert
    vocabulary = tiny_models.PROTBERT_VOCABULARY.copy()
    vocabulary[7] = "GG"
    tokenizer = tiny_models.bert_tokenizer(vocabulary)
    with torch.no_grad(), pf.attach(model, tokenizer) as tap:
        with pytest.raises(ArgumentError, match="token 'GG' is no single residue"):
            model(input_ids=torch.tensor([[2, 5, 7, 3]]))
    assert tap.result().analysed == 0


def test_training_is_refused(bert):
    _, tokenizer, _ = bert
    model = BertForMaskedLM(
        BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(ModelError, match="training"), pf.attach(model.train(), tokenizer):
        model(input_ids=torch.tensor([[2, 5, 3]]))
