"""Every family of models against transformers' own attention: the parity matrix.

The reference is what a model of transformers says of itself, with ``output_attentions=True`` under
its eager attention, one protein at a time without padding, and counts by plain torch. A family
takes part by its entry in `tiny_models.CONFIGS`.
"""

from __future__ import annotations

import copy
import itertools

import analysis_cases
import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import CONFIGS

import provis_fast as pf
from provis_fast import ops
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import FAMILIES, Model, packed_terms, routed

THETA = 0.3
SHARP = 18.0  # of query and key weights: sees to arcs in every family
NEAR = 1e-5  # pairs as close as this to the threshold may fall on either side
LENGTHS = (1, 2, 60, 59, 5, 48, 33, 60, 17, 58, 55, 40, 60, 57, 60, 49, 60, 60)
LETTERS = analysis_cases.AMINO_ACIDS * 3 + "XUZOB"
PROPERTIES = ("amino_acid", "separation", "contact")
LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}

families = pytest.mark.parametrize("name", sorted(CONFIGS))


class Case:
    """A tiny model of one family, proteins, and the model's own attention to them.

    Attributes
    ----------
    encoder : PreTrainedModel
        What transformers' users have.
    tokenizer : PreTrainedTokenizerBase
    model : Model
        The same weights for `analyze`.
    proteins : list of Protein
    """

    def __init__(self, name, folder):
        self.encoder = tiny_models.tiny(name, factor=SHARP)
        self.tokenizer = tiny_models.esm_tokenizer(folder)
        self.model = Model(self.encoder, self.tokenizer, name)
        self.proteins = analysis_cases.random_proteins(LENGTHS, seed=5, letters=LETTERS)
        self.ids = [self.model.tokens.encode(p.sequence) for p in self.proteins]
        self.residues = slice(self.model.tokens.n_prefix, -self.model.tokens.n_suffix or None)

    def reference(self, dtype, through=None):
        """Attention among residues, float64 [layers, heads, L, L], and hidden states, by protein.

        `through`: the weights are rounded to that dtype first.
        """
        # The stack of a T5, because UMT5EncoderModel returned no attentions in transformers 5.17.
        eager = copy.deepcopy(self.model.module).to(through or dtype).to(dtype)
        eager.set_attn_implementation("eager")
        found = []
        for ids in self.ids:
            with torch.no_grad():
                out = eager(input_ids=torch.from_numpy(ids)[None], output_attentions=True)
            a = torch.cat(out.attentions)[:, :, self.residues, self.residues]
            found.append((a.double(), out.last_hidden_state[0]))
        return found


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = Case(name, tmp_path_factory.mktemp(name))
            made[name].float32 = made[name].reference(torch.float32)
        return made[name]

    return get


def through_kernel(model, ids, floor=0.01):
    """Attention by the kernel in one packed row: as `Case.reference`, below `floor` 0."""
    bounds = np.cumsum([0, *map(len, ids)]).tolist()
    cu_seqlens = torch.tensor(bounds, dtype=torch.int32)
    sparse = []

    def handler(layer, query, key, value, mask, scale, **terms):
        assert mask is None or mask.all()
        found = ops.attention_statistics(
            *(x[0].transpose(0, 1) for x in (query, key, value)),
            cu_seqlens=cu_seqlens,
            thresholds=floor,
            max_arcs=int(bounds[-1] * query.shape[1] / floor),
            scale=scale,
            **packed_terms(terms),
        )
        sparse.append((found.arc_index, found.arc_weight))
        return found.output[None]

    with torch.no_grad(), routed(model.module, handler) as routing:
        hidden = model.module(**model.inputs(ids)).last_hidden_state[0]
    begin, end = model.tokens.n_prefix, model.tokens.n_suffix
    result = []
    for s, (first, last) in enumerate(itertools.pairwise(bounds)):
        n = last - first
        a = torch.zeros(routing.n_layers, routing.n_heads, n, n, dtype=torch.float64)
        for layer, (index, weight) in enumerate(sparse):
            of_s = index[:, 0] == s
            _, head, i, j = index[of_s].long().T
            a[layer, head, i, j] = weight[of_s].double()
        result.append((a[:, :, begin : n - end, begin : n - end], hidden[first:last]))
    return result


def arcs_of(attention, within=None):
    """Arcs [layers, heads] of all proteins together; or pairs `within` a distance of theta."""
    hits = ((a >= THETA) if within is None else ((a - THETA).abs() <= within) for a, _ in attention)
    return sum(hit.sum((-1, -2)) for hit in hits).numpy()


def weighted_sums(case, proteins, attention):
    """Attention on each class of PROPERTIES, all of it and that of known pairs, plain torch."""
    totals = {}
    for protein, (a, _) in zip(proteins, attention, strict=True):
        at = torch.arange(len(protein))
        apart = (at[:, None] - at[None, :]).abs()
        letters = torch.tensor(["ACDEFGHIKLMNPQRSTVWY".find(x) % 21 for x in protein.sequence])
        ca = torch.from_numpy(protein.ca.astype(np.float64))
        distance = torch.linalg.norm(ca[:, None] - ca[None, :], dim=-1)
        valid = (apart >= 6) & ~distance.isnan()
        everywhere = torch.ones_like(valid)
        bins = torch.bucketize(apart, torch.tensor([1, 2, 3, 4, 5, 6, 12, 24]), right=True)
        for name, eligible, classes in (
            ("amino_acid", everywhere, [everywhere & (letters == c) for c in range(21)]),
            ("separation", everywhere, [bins == c for c in range(9)]),
            ("contact", valid, [valid & (distance < 8)]),
        ):
            found = torch.stack([(a * w).sum((-1, -2)) for w in (eligible, *classes)], dim=-1)
            totals[name] = totals.get(name, 0) + found.numpy()
    return totals


def state(model):
    """Everything that listening in might leave behind."""
    parts = [
        (
            name,
            id(part),
            {key: id(value) for key, value in vars(part).items()},
            [list(hooks) for hooks in (part._forward_hooks, part._forward_pre_hooks)],
        )
        for name, part in model.named_modules()
    ]
    configs = [copy.deepcopy(vars(m.config)) for m in model.modules() if hasattr(m, "config")]
    return parts, configs, {k: v.clone() for k, v in model.state_dict().items()}


def assert_unchanged(model, before):
    parts, configs, weights = state(model)
    assert (parts, configs) == before[:2]
    assert weights.keys() == before[2].keys()
    assert all(torch.equal(weights[key], before[2][key]) for key in weights)


def padded(case, which):
    """A batch of some of the proteins, padded to the right."""
    texts = [case.proteins[k].sequence for k in which]
    return case.tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)


def test_every_family_takes_part():
    assert {CONFIGS[name]().model_type for name in CONFIGS} == set(FAMILIES)


@families
def test_a_packed_row_has_the_arcs_and_outputs_of_each_protein_alone(case, name, record_property):
    """The very arcs, not their number alone."""
    case = case(name)
    ours = through_kernel(case.model, case.ids)
    near, arcs = [], 0
    for (a, hidden), (expected, expected_hidden) in zip(ours, case.float32, strict=True):
        torch.testing.assert_close(hidden, expected_hidden, atol=1e-5, rtol=0)
        assert torch.equal(a > 0, a >= 0.01)
        assert not (a == 0)[expected > 0.01 + NEAR].any()
        assert ((a - expected).abs()[a > 0] <= NEAR).all()
        differ = (a >= THETA) != (expected >= THETA)
        near += (expected - THETA).abs()[differ].tolist()
        arcs += int((expected >= THETA).sum())
    assert arcs >= 1000
    assert all(distance <= NEAR for distance in near)
    record_property("arcs", arcs)
    record_property("arcs_apart_near_theta", len(near))


@families
@pytest.mark.parametrize("batch_tokens", [1, 200, 10_000])
def test_analyze_counts_like_plain_torch(case, name, batch_tokens):
    """One by one, in packs, and all together: the same arcs, and weighted sums within 1e-5."""
    case = case(name)
    result = pf.analyze(
        case.model,
        case.proteins,
        PROPERTIES,
        THETA,
        weighting="both",
        batch_tokens=batch_tokens,
    )
    assert result.analysed == len(LENGTHS) and not result.set_aside
    expected = arcs_of(case.float32)
    assert expected.sum() >= 1000
    assert (np.abs(result.arcs - expected) <= arcs_of(case.float32, within=NEAR)).all()
    sums = weighted_sums(case, case.proteins, case.float32)
    for prop in PROPERTIES:
        known, of_classes = sums[prop][..., 0], sums[prop][..., 1:]
        np.testing.assert_allclose(result.mass_known[prop], known, rtol=1e-5)
        np.testing.assert_allclose(result.mass_sums[prop], of_classes, rtol=1e-5, atol=1e-5)


@families
def test_attach_leaves_outputs_alone_and_counts_padded_batches(case, name):
    case = case(name)
    before = state(case.encoder)
    batches = [padded(case, which) for which in ((0, 1, 4), (3, 0, 2), range(5, len(LENGTHS)))]
    order = [0, 1, 4, 3, 0, 2, *range(5, len(LENGTHS))]
    attention = [case.float32[k] for k in order]
    with torch.no_grad():
        expected = [case.encoder(**batch).last_hidden_state for batch in batches]
        with pf.attach(case.encoder, case.tokenizer, PROPERTIES[:2], THETA) as tap:
            for batch, hidden in zip(batches, expected, strict=True):
                found = case.encoder(**batch).last_hidden_state
                real = batch["attention_mask"].bool()
                torch.testing.assert_close(found[real], hidden[real], atol=1e-5, rtol=0)
        alone = padded(case, [2])["input_ids"]
        for mask in (None, torch.ones_like(alone)):  # all ones are the same as no mask
            with pf.attach(case.encoder, case.tokenizer, (), THETA) as single:
                case.encoder(input_ids=alone, attention_mask=mask)
            one = case.float32[2:3]
            apart = np.abs(single.result().arcs - arcs_of(one))
            assert (apart <= arcs_of(one, within=NEAR)).all()
    assert_unchanged(case.encoder, before)
    result = tap.result()
    assert result.analysed == len(order)
    assert result.arcs.sum() >= 1000
    apart = np.abs(result.arcs - arcs_of(attention))
    assert (apart <= arcs_of(attention, within=NEAR)).all()


@families
def test_truncation_odd_residues_and_single_ones(case, name, tmp_path):
    case = case(name)
    odd = {"odd": "XUZOBXUZOBMXK", "one": "W", "unknown": "X", "end": "MKV*", "inside": "MK*V"}
    long = {p.id: p.sequence for p in analysis_cases.random_proteins([58] * 30, letters=LETTERS)}
    path = tmp_path / "proteins.fasta"
    path.write_text("".join(f">{k}\n{v}\n" for k, v in (odd | long).items()))
    result = pf.analyze(case.model, path, "separation", THETA, max_length=40)
    assert [(x["id"], x["status"]) for x in result.set_aside] == [("inside", "failed")]
    assert result.analysed == len(odd) - 1 + len(long)
    assert sum("to 40 residues" in note for note in result.notes) == len(long)
    kept = [s[:40].removesuffix("*") for k, s in (odd | long).items() if k != "inside"]
    proteins = [pf.Protein(f"p{k}", sequence) for k, sequence in enumerate(kept)]
    assert result.residues == sum(map(len, kept))
    short = copy.copy(case)
    short.ids = [case.model.tokens.encode(p.sequence) for p in proteins]
    attention = short.reference(torch.float32)
    apart = np.abs(result.arcs - arcs_of(attention))
    assert (apart <= arcs_of(attention, within=NEAR)).all()
    assert result.arcs.sum() >= 1000


@families
@pytest.mark.parametrize("dtype", sorted(LOW))
def test_half_precision_against_float64_of_the_same_weights(case, name, dtype, record_property):
    """As far from float64 as transformers' own attention in that dtype, and no further."""
    case = case(name)
    exact = case.reference(torch.float64, through=LOW[dtype])
    theirs = case.reference(LOW[dtype])
    encoder = copy.deepcopy(case.encoder).to(LOW[dtype])
    model = Model(encoder, case.tokenizer, name)
    ours = through_kernel(model, case.ids)
    apart, theirs_apart, differing = [], [], []
    for (a, _), (b, _), (reference, _) in zip(ours, theirs, exact, strict=True):
        seen = reference >= 0.05
        apart += (a - reference)[seen].abs().tolist()
        theirs_apart += (b - reference)[seen].abs().tolist()
        differ = (a >= THETA) != (reference >= THETA)
        differing += (reference - THETA).abs()[differ].tolist()
    assert np.mean(apart) <= 1.2 * np.mean(theirs_apart)
    assert max(differing, default=0.0) <= max(apart)
    result = pf.analyze(model, case.proteins, "amino_acid", THETA, batch_tokens=10_000)
    assert result.model["dtype"] == dtype and not result.set_aside
    np.testing.assert_array_equal(result.arcs, arcs_of(ours))
    assert result.arcs.sum() >= 1000
    for key, value in (("mean", np.mean(apart)), ("largest", max(apart))):
        record_property(f"{key}_difference", float(value))


class _Broken(Exception):
    pass


@families
def test_attach_leaves_the_model_as_it_was_and_refuses_to_nest(case, name):
    case = case(name)
    model, batch = case.encoder, padded(case, range(len(LENGTHS)))
    before = state(model)
    layers = [part for part in model.modules() if type(part) is torch.nn.ModuleList]
    last = max(layers, key=len)[-1]

    def fail(*_):
        raise _Broken

    with torch.no_grad(), pf.attach(model, case.tokenizer) as tap:
        with pytest.raises(ModelError, match="already"), pf.attach(model, case.tokenizer):
            pass
        with pytest.raises(ArgumentError, match="open already"), tap:
            pass
        hook = last.register_forward_hook(fail)
        with pytest.raises(_Broken):
            model(**batch)
        hook.remove()
        model(**batch)  # the outer one goes on
    assert tap.result().analysed == len(LENGTHS)
    assert tap.result().arcs.sum() >= 1000
    assert_unchanged(model, before)
    hook = last.register_forward_hook(fail)
    with pytest.raises(_Broken), torch.no_grad(), pf.attach(model, case.tokenizer):
        model(**batch)
    hook.remove()
    assert_unchanged(model, before)
    with torch.no_grad(), pf.attach(model, case.tokenizer) as again:
        model(**batch)
    np.testing.assert_array_equal(again.result().arcs, tap.result().arcs)
