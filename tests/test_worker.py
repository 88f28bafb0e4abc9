"""Workers that other processes make: the same model, the same bits, and what cannot be sent."""

from __future__ import annotations

import pickle
from dataclasses import replace

import analysis_cases
import numpy as np
import pytest
import torch

import provis_fast as pf
from provis_fast.distributed import worker_loop
from provis_fast.distributed.scheduling import Task
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.measures import Measures
from provis_fast.models import Model
from provis_fast.partials import Partial
from provis_fast.plan import PackPlanner
from provis_fast.properties import REGISTRY
from provis_fast.units import blocks
from provis_fast.worker_spec import WorkerSpec

PROPERTIES = ("amino_acid", "contact", "secondary_structure", "hydrophobicity")


def every_second(protein):
    return [n % 2 for n in range(len(protein))]


def described(model, properties=PROPERTIES):
    measures = Measures.checked(properties, 0.3, None, model.n_layers, model.n_heads)
    planner = PackPlanner(model, measures.properties, batch_tokens=150)
    return WorkerSpec.of(model, measures, planner), planner


def test_a_worker_elsewhere_finds_the_same_bits(bert):
    """All that travels is pickled: the description, and what has come out."""
    proteins = analysis_cases.random_proteins([30, 60, 90, 12, 128, 400])
    expected = pf.analyze(bert, [*proteins, pf.Protein("odd", "J")], PROPERTIES, batch_tokens=150)
    spec, planner = described(bert)
    spec = pickle.loads(pickle.dumps(spec))
    (block,) = blocks([*proteins, pf.Protein("odd", "J")])
    units = planner.units(block)
    total, digests, remarks = expected.copy(), [], []
    total.totals = spec.measures.empty().totals
    with spec.start() as worker:
        for number, unit in enumerate(units):
            worker.run(worker.planner.prepare(unit))
            if number % 2 == 0 or unit is units[-1]:
                partial = pickle.loads(pickle.dumps(worker.take({0: len(units)})))
                assert partial.blocks == {0: len(units)}
                total.totals.add_(partial.result.totals)
                digests += partial.digests.tolist()
                remarks += partial.remarks
    assert total.totals.equals(expected.totals)
    assert sorted(digests) == expected.protein_digests.tolist()
    asides = [(r.id, r.status, r.reason) for r in sorted(remarks)]
    assert asides == [(a["id"], a["status"], a["reason"]) for a in expected.set_aside]
    assert bert.name in asides[0][2]  # the name of the model is the same there


def test_nothing_is_handed_over_twice(bert):
    spec, planner = described(bert)
    (block,) = blocks(analysis_cases.random_proteins([30]))
    with spec.start() as worker:
        for unit in planner.units(block):
            worker.run(planner.prepare(unit))
        assert worker.take().result.analysed == 1
        again = worker.take()
    assert again.units == [] and again.result.analysed == 0 and len(again.digests) == 0


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_all_properties_of_ours_can_be_sent(bert, name):
    spec, _ = described(bert, name)
    assert pickle.loads(pickle.dumps(spec)).measures.properties[0].name == name


def test_properties_of_the_users_own(bert):
    described(bert, pf.KeyClass("mine", ["a", "b"], every_second))
    described(bert, pf.KeyClass("mine", ["a"], {"p": np.zeros(3, dtype=int)}))
    described(bert, pf.KeyValue("plddt"))
    with pytest.raises(ArgumentError, match=r"properties: 'mine' cannot be sent .*no lambda"):
        described(bert, pf.KeyClass("mine", ["a", "b"], lambda protein: None))


def test_a_model_of_another_make_cannot_be_sent(bert):
    made = Model(bert.module, bert.tokens, "made")
    with pytest.raises(ArgumentError, match="made was not loaded by load_model"):
        described(made)
    assert pf.analyze(made, analysis_cases.random_proteins([9])).analysed == 1


def test_changed_weights_are_noticed(tmp_path):
    model = pf.load_model(analysis_cases.save_bert(tmp_path), device="cpu")
    with torch.no_grad():
        model.module.embeddings.word_embeddings.weight[5] += 1
    spec, _ = described(model)
    with pytest.raises(ModelError, match="not those that the analysis began with"):
        spec.start()


def test_a_relative_path_and_a_dtype_survive(tmp_path, monkeypatch):
    analysis_cases.save_bert(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    model = pf.load_model("./bert", device="cpu", dtype="bfloat16")
    spec, _ = described(model)
    monkeypatch.chdir("/")
    other = spec.start().model
    assert (other.name, other.dtype, other.digest) == ("./bert", torch.bfloat16, model.digest)


@pytest.mark.parametrize(("limit", "deliveries"), [(0, 4), (1 << 40, 1)])
def test_rows_are_delivered_before_they_take_much_memory(bert, monkeypatch, limit, deliveries):
    """By their size, as all tasks are there from the beginning and the time never comes."""
    monkeypatch.setattr(worker_loop, "DELIVER_BYTES", limit)
    monkeypatch.setattr(worker_loop, "DELIVER_SECONDS", float("inf"))
    spec, planner = described(bert)
    spec = replace(spec, tables=("proteins", "arcs"))
    (block,) = blocks(analysis_cases.random_proteins([100] * 4))
    units = planner.units(block)
    inbox, told = worker_loop.Inbox(), []
    inbox.put([Task(unit) for unit in units])
    inbox.close()
    worker_loop.work(spec, inbox, told.append)
    partials = [message for message in told if isinstance(message, Partial)]
    assert len(partials) == deliveries
    assert [key for p in partials for key in p.units] == [unit.key for unit in units]
    assert sum(p.result.analysed for p in partials) == 4
    assert [key for p in partials for key, _ in p.tables] == [(0, k) for k in (1, 2, 3, 4)]
