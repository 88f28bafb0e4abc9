"""The engine: whole analyses against an independent count, and everything that may go wrong."""

from __future__ import annotations

import dataclasses
import random
import threading
from itertools import pairwise

import analysis_cases
import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import ANTIBERTY_VOCABULARY
from transformers import NomicBertConfig, NomicBertModel

import provis_fast as pf
from provis_fast import units
from provis_fast.analysis_run import AnalysisRun
from provis_fast.models import FAMILIES
from provis_fast.plan import PackPlanner, plan_packs
from provis_fast.prefetch import prefetched
from provis_fast.proteins import load_proteins

LENGTHS = [1, 2, 3, 31, 32, 33, 127, 128, 60, 90, 17, 45]
PROPERTIES = (
    "amino_acid",
    "contact",
    "secondary_structure",
    "secondary_structure_query",
    "binding_site",
    "separation",
    "amino_acid_pair",
    "hydrophobicity",
)


def count(model, proteins, thresholds):
    """Counts of PROPERTIES from the float64 attention of transformers' own eager forward pass.

    Returns arrays [thetas, layers, heads, ...] by name, and how many pairs lie within 1e-5 of a
    threshold.
    """
    thetas = np.array(thresholds)[:, None, None, None, None]
    totals, near = {}, 0
    for protein in proteins:
        ids = torch.from_numpy(model.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(model.module, ids)[:, :, 1:-1, 1:-1]
        near += int((np.abs(a - thetas) <= 1e-5).sum())
        arcs = a >= thetas  # [thetas, layers, heads, i, j]
        n = len(protein)
        i, j = np.mgrid[:n, :n]

        def add(name, eligible, per_class, arcs=arcs):
            found = np.stack([(arcs * w).sum((-1, -2)) for w in (eligible, *per_class)], axis=-1)
            totals[name] = totals.get(name, 0) + found

        everywhere = np.ones((n, n), dtype=bool)
        letters = np.array(["ACDEFGHIKLMNPQRSTVWY".find(x) % 21 for x in protein.sequence])
        of_class = [letters == c for c in range(21)]
        add("amino_acid", everywhere, [c[j] for c in of_class])
        add("amino_acid_pair", everywhere, [r[i] & c[j] for r in of_class for c in of_class])
        ca = protein.ca.astype(np.float64)
        distance = np.linalg.norm(ca[i] - ca[j], axis=-1)
        valid = (np.abs(i - j) >= 6) & ~np.isnan(distance)
        add("contact", valid, [valid & (distance < 8)])
        for name, at in (("secondary_structure", j), ("secondary_structure_query", i)):
            labels = protein.labels["secondary_structure"][at]
            add(name, labels >= 0, [labels == c for c in range(4)])
        site = protein.labels["binding_site"][j]
        add("binding_site", site >= 0, [site == 1])
        edges = [0, 1, 2, 3, 4, 5, 6, 12, 24, 10**6]
        gap = np.abs(i - j)
        add("separation", everywhere, [(gap >= a) & (gap < b) for a, b in pairwise(edges)])
        values = np.rint(pf.properties.resolve("hydrophobicity")[0].encode(protein) * 65536)
        known = ~np.isnan(values)[j]
        add("hydrophobicity", known, [np.where(known, values[j], 0)])
        totals["arcs"] = totals.get("arcs", 0) + arcs.sum((-1, -2))
    return totals, near


@pytest.mark.parametrize("family", ["bert", "esm"])
def test_against_an_independent_float64_count(family, request):
    model = request.getfixturevalue(family)
    proteins = analysis_cases.random_proteins(LENGTHS, letters=analysis_cases.AMINO_ACIDS + "X")
    thresholds = (0.3, 0.1, 0.7)
    result = pf.analyze(model, proteins, PROPERTIES, thresholds, batch_tokens=150)
    expected, near = count(model, proteins, thresholds)
    assert result.analysed == len(proteins)
    assert result.residues == sum(LENGTHS)
    assert expected["arcs"][0].sum() >= 1000
    assert near <= 5
    if near == 0:
        np.testing.assert_array_equal(result.arcs, expected["arcs"])
    assert np.abs(result.arcs - expected["arcs"]).sum() <= near
    for name in PROPERTIES:
        eligible, classes = expected[name][..., 0], expected[name][..., 1:]
        assert np.abs(result.eligible[name] - eligible).sum() <= near, name
        if name == "hydrophobicity":
            np.testing.assert_allclose(result.sums[name], classes / 65536, atol=4.5 * near)
        else:
            assert np.abs(result.counts[name] - classes).sum() <= 2 * near, name
    separation = result.background["separation"]
    assert separation.sum() == pytest.approx(1)
    assert result.background["amino_acid"][-1] == pytest.approx(
        sum(p.sequence.count("X") for p in proteins) / sum(LENGTHS)
    )


@pytest.mark.parametrize(
    "error",
    [
        IndexError("index out of range in self"),
        RuntimeError("index 64 is out of bounds for dimension 1 with size 64"),
    ],
)
def test_a_routed_class_that_nobody_has_studied_runs_one_by_one(tmp_path, monkeypatch, error):
    tokenizer = tiny_models.bert_tokenizer()
    torch.manual_seed(0)
    sizes = tiny_models.SIZES | {"vocab_size": len(tokenizer), "pad_token_id": 0, "head_dim": 12}
    config = NomicBertConfig(**sizes)
    assert config.model_type not in FAMILIES
    module = NomicBertModel(config, add_pooling_layer=False).eval()
    tiny_models.sharpen(module, 16.0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = pf.load_model(tmp_path, device="cpu")
    assert not model.packs and model.max_residues == 62
    # As of a model whose positions begin behind the padding: fewer than its config says.
    lookup = model.module.embeddings.forward

    def embed(input_ids, *arguments, **options):
        if input_ids.shape[1] > 62:
            raise error
        return lookup(input_ids, *arguments, **options)

    monkeypatch.setattr(model.module.embeddings, "forward", embed)
    proteins = analysis_cases.random_proteins([20, 61, 60, 40, 33])
    result = pf.analyze(model, proteins, ())
    assert result.analysed == 4
    (too_long,) = result.set_aside
    assert too_long["id"] == "p1" and "cannot take 63 tokens" in too_long["reason"]
    monkeypatch.undo()
    model.module.set_attn_implementation("eager")  # float32: its rotary part cannot do more
    arcs = 0
    for protein in proteins[:1] + proteins[2:]:
        ids = torch.from_numpy(model.tokens.encode(protein.sequence))
        with torch.inference_mode():
            a = torch.cat(model.module(ids[None], output_attentions=True).attentions)
        a = a[:, :, 1:-1, 1:-1]
        assert ((a - 0.3).abs() > 1e-5).all()
        arcs = arcs + (a >= 0.3).sum((-1, -2))
    assert arcs.sum() > 300
    np.testing.assert_array_equal(result.arcs, arcs)


def test_what_the_input_and_the_model_lack_is_noted(tmp_path):
    """Files that are not read, and letters for which the model's unknown token stands."""
    folder = analysis_cases.save_bert(tmp_path / "model", vocabulary=ANTIBERTY_VOCABULARY)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.fasta").write_text(">a\nMKVUXAAAA\n>b\nMKV\n")
    (tmp_path / "data" / "notes.txt").write_text("mine")
    result = pf.analyze(folder, tmp_path / "data", ())
    assert "data: 1 other file(s) not read: notes.txt" in result.notes
    for letter in "UX":
        said = f"has no token for {letter}: its unknown token stands for this residue in 1 protein"
        assert any(said in note for note in result.notes)


def test_mass_and_entropy(bert):
    proteins = analysis_cases.random_proteins([40, 7, 90])
    result = pf.analyze(bert, proteins, "contact", weighting="attention", entropy=True)
    mass = known = entropy = 0
    for protein in proteins:
        ids = torch.from_numpy(bert.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(bert.module, ids)
        entropy = entropy - (a * np.log(a)).sum(-1)[:, :, 1:-1].sum(-1)
        a = a[:, :, 1:-1, 1:-1]
        mass = mass + a.sum((-1, -2))
        i, j = np.mgrid[: len(protein), : len(protein)]
        resolved = ~np.isnan(protein.ca[:, 0])
        known = known + (a * ((np.abs(i - j) >= 6) & resolved[i] & resolved[j])).sum((-1, -2))
    np.testing.assert_allclose(result.mass, mass, rtol=1e-4)
    np.testing.assert_allclose(result.mass_known["contact"], known, rtol=1e-4)
    np.testing.assert_allclose(result.entropy, entropy / result.residues, rtol=1e-4)


def test_scalar_and_sequence_thresholds_and_restricted_layers(bert):
    proteins = analysis_cases.random_proteins([50, 80])
    whole = pf.analyze(bert, proteins, threshold=(0.3,))
    part = pf.analyze(bert, proteins, threshold=0.3, layers=[2, 0])
    assert whole.arcs.shape == (1, 3, 4)
    assert part.arcs.shape == (2, 4)
    assert part.layers == (0, 2)
    np.testing.assert_array_equal(part.arcs, whole.arcs[0][[0, 2]])


def test_nothing_after_the_last_analysed_attention_is_computed(bert):
    proteins = analysis_cases.random_proteins([30])
    layers = bert.module.encoder.layer
    ran = []
    hooks = [
        module.register_forward_pre_hook(lambda m, _, k=k: ran.append(k))
        for k, module in enumerate([*(x.attention.output for x in layers)])
    ]
    try:
        pf.analyze(bert, proteins, layers=[1])
        assert ran == [0]
        ran.clear()
        pf.analyze(bert, proteins)
        assert ran == [0, 1]
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("weighting", ["arcs", "both"])
def test_same_bits_for_any_order_of_packs_and_any_threads(esm, weighting, monkeypatch):
    proteins = analysis_cases.random_proteins([*LENGTHS, *LENGTHS[3:]], seed=3)
    options = dict(properties=PROPERTIES, batch_tokens=128, weighting=weighting)

    usual = pf.analyze(esm, proteins, threads=1, **options)
    assert usual.arcs.sum() >= 1000
    assert pf.analyze(esm, proteins, threads=2, **options).equals(usual)

    in_order = AnalysisRun._prepared

    def shuffled(self):
        found = list(in_order(self))
        assert len(found) > 5
        random.Random(1).shuffle(found)
        return iter(found)

    monkeypatch.setattr(AnalysisRun, "_prepared", shuffled)
    assert pf.analyze(esm, proteins, threads=1, **options).equals(usual)


def test_neighbours_in_a_pack_change_nothing(bert):
    """One by one, all in one row: the same counts, but for attention at the threshold itself."""
    proteins = analysis_cases.random_proteins(LENGTHS, seed=4)
    together = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=10_000)
    apart = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=1)
    _, near = count(bert, proteins, (0.3,))
    assert np.abs(together.arcs - apart.arcs).sum() <= near
    assert together.settings["batch_tokens"] == ("10000",)


def test_packs():
    assert plan_packs([], 10) == []
    assert plan_packs([30], 10) == [[0]]
    assert plan_packs([4, 4, 4, 1], 8) == [[3, 0], [1, 2]]
    lengths = np.random.default_rng(0).integers(1, 100, 500).tolist()
    packs = plan_packs(lengths, 128)
    assert sorted(i for pack in packs for i in pack) == list(range(500))
    assert all(sum(lengths[i] for i in pack) <= 128 for pack in packs)


def test_blocks_of_records_keep_their_order(bert):
    """More records than a block: remarks and packs still cover every record once."""
    proteins = analysis_cases.random_proteins([3] * (units.BLOCK_RECORDS + 5))
    source = load_proteins([*proteins, pf.Protein("odd", "J")])
    planner = PackPlanner(bert, [], batch_tokens=50)
    blocks = list(units.blocks(source.records()))
    assert [(b.index, b.first, len(b.records)) for b in blocks] == [(0, 0, 128), (1, 128, 6)]
    planned = [unit for block in blocks for unit in planner.units(block)]
    assert len({unit.key for unit in planned}) == len(planned)
    assert [unit.key for unit in planned if unit.key[0] == 1] == [(1, 0), (1, 1)]
    prepared = [planner.prepare(unit) for unit in planned]
    entries = [e for item in prepared for pack in item.packs for e in pack.entries]
    assert [e.id for e in entries] == [p.id for p in proteins]
    assert [e.number for e in entries] == list(range(len(proteins)))
    (remark,) = [remark for item in prepared for remark in item.remarks]
    assert (remark.id, remark.number) == ("odd", len(proteins)) and "'J'" in remark.reason


def test_a_bad_letter_leaves_a_gap_in_its_pack(bert):
    """Packs are planned by lengths, before anybody has looked at the letters."""
    proteins = analysis_cases.random_proteins([20] * 6)
    odd = [
        dataclasses.replace(p, sequence="J" * 20) if k == 1 else p for k, p in enumerate(proteins)
    ]
    planner = PackPlanner(bert, [], batch_tokens=66)
    assert [len(pack.entries) for pack in planner.packs(proteins)] == [3, 3]
    assert [len(pack.entries) for pack in planner.packs(odd)] == [2, 3]


def test_prefetch_stops_when_left():
    produced = []

    def endless():
        number = 0
        while True:
            produced.append(number)
            yield number
            number += 1

    with prefetched(endless(), depth=2) as numbers:
        assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    assert len(produced) <= 8
    assert not [t for t in threading.enumerate() if "prefetch" in t.name]


def test_the_model_is_left_as_it_was(bert):
    before = dict(vars(bert.module.config))
    threads = torch.get_num_threads()
    pf.analyze(bert, analysis_cases.random_proteins([9]), threads=2)
    assert vars(bert.module.config) == before
    assert torch.get_num_threads() == threads
