"""Prepared data sets: an analysis of one is an analysis of its input, to the last bit."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pytest
from analysis_cases import random_proteins
from structure_text import chain, cif_text, pdb_text, seqres
from test_proteins_proteinnet import record_text
from test_proteins_tape import site_record, write_lmdb

import provis_fast as pf
from provis_fast import failed_table, storage
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.properties import REGISTRY
from provis_fast.properties.listed_contacts import contact_pairs
from provis_fast.proteins import LazyLabels, Protein, SetAside, load_proteins, prepared
from provis_fast.proteins.prepared_manifest import read_manifest

NAMES = "MET LYS VAL LEU ALA GLY TRP CYS SER THR PRO GLU GLN ASP ASN"
COLUMNS = ["label:ss:HEC", "value:score", "label:species", "label:flag"]


@pytest.fixture
def corpus(tmp_path):
    """A folder with every kind of input, and with records that cannot be used."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.fasta").write_text(">one\nMKVLAAGWC\n>bad\nMK1\n>one\nMKVLAAGWC\n>two\nMK-VLA\n")
    both = chain(NAMES), chain(NAMES, name="B", y=20.0)
    (folder / "b.pdb").write_text(pdb_text(*both, head=seqres("A", NAMES)))
    (folder / "c.cif").write_text(cif_text(chain(NAMES[4:]), sequence=NAMES))
    (folder / "d.proteinnet").write_text(record_text("net", secondary="HHELT"))
    (folder / "e.csv").write_text(
        "id,sequence,ss,score,species,cluster,flag\n"
        "t1,MKVLAA,HHEC-C,0.1 0.2 nan 0.4 0.5 1e5,mouse,c1,110010\n"
        "t2,GAVL,HHE,1 2 3 4,man,c1,\n"
        "t3,GAV\n"
    )
    write_lmdb(folder / "f_binding.lmdb", [site_record(id="tape"), site_record(id="x", sites=[99])])
    (folder / "notes.txt").write_text("not read")
    (folder / "z.fasta").write_text("no fasta at all\n")
    return folder


def same(a, b) -> None:
    """Two records are the same in everything that an analysis looks at."""
    assert type(a) is type(b)
    if isinstance(a, SetAside):
        assert a == b
        return
    for name in ("id", "sequence", "source", "line", "cluster", "notes"):
        assert getattr(a, name) == getattr(b, name)
    assert (a.text or {}) == (b.text or {})
    for mine, other in ((a.labels, b.labels), (a.values, b.values)):
        assert set(mine) == set(other)
        for name in mine:
            try:
                expected = mine[name]
            except InputError as error:
                with pytest.raises(InputError, match=f"^{re.escape(str(error))}$"):
                    other[name]
                continue
            np.testing.assert_array_equal(expected, other[name])
            assert expected.dtype == other[name].dtype
    assert (a.residue_numbers is None) == (b.residue_numbers is None)
    assert list(a.residue_numbers or ()) == list(b.residue_numbers or ())


def check_same(inputs, data_set, **reading) -> list:
    before = list(load_proteins(inputs, **reading).records())
    after = list(load_proteins(data_set).records())
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        same(a, b)
    return after


@pytest.mark.parametrize("options", [{}, {"compress": True, "records_per_part": 2}])
def test_every_record_comes_back(corpus, tmp_path, options):
    made = pf.prepare(corpus, tmp_path / "set", **options)
    records = check_same(corpus, tmp_path / "set")
    kept = [one for one in records if isinstance(one, Protein)]
    aside = [one.status for one in records if isinstance(one, SetAside)]
    assert made.read == len(records) == made.kept + made.skipped + made.failed
    assert (made.kept, made.residues) == (len(kept), sum(map(len, kept)))
    assert [made.skipped, made.failed] == [aside.count("skipped"), aside.count("failed")]
    assert made.skipped >= 2 and made.failed >= 3
    source = load_proteins(tmp_path / "set")
    source.digests()
    assert source.__length_hint__() == made.read
    assert source.notes == load_proteins(corpus).notes


def test_analyses_are_the_same_bit_for_bit(corpus, tmp_path, esm):
    properties = [*REGISTRY, *COLUMNS]
    pf.prepare(corpus, tmp_path / "set")
    for name, given in (("direct", corpus), ("prepared", tmp_path / "set")):
        result = pf.analyze(esm, given, properties, [0.05, 0.2], weighting="both", threads=1)
        storage.save(result, tmp_path / name)
    for file in ("heads.csv", "counts.safetensors"):
        direct, after = ((tmp_path / name / file).read_bytes() for name in ("direct", "prepared"))
        assert direct == after
    direct, after = (storage.load(tmp_path / name) for name in ("direct", "prepared"))
    assert direct.set_aside == after.set_aside and direct.notes == after.notes
    assert direct.analysed == after.analysed >= 6
    assert direct.arcs.sum() > 1000 and direct.eligible["contact"].any()
    reasons = " ".join(entry["reason"] for entry in after.set_aside)
    assert "label:species" not in reasons and "column 'species'" in reasons


def test_real_data_give_the_same(shared, tmp_path, esm):
    inputs = [shared / "data" / "structures", shared / "data" / "provis"]
    pf.prepare(inputs, tmp_path / "set", labels=["binding_site", "modification"])
    properties = ["amino_acid", "contact", "binding_site", "modification"]
    chosen = [list(load_proteins(given).records())[:160] for given in (inputs, tmp_path / "set")]
    results = [
        pf.analyze(esm, [one for one in some if isinstance(one, Protein)], properties, threads=1)
        for some in chosen
    ]
    for folder, result in zip(("a", "b"), results, strict=True):
        storage.save(result, tmp_path / folder)
    for file in ("heads.csv", "counts.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert results[0].eligible["contact"].any()


def test_the_same_input_gives_the_same_bytes(corpus, tmp_path):
    for name in ("one", "two"):
        pf.prepare(corpus, tmp_path / name, coordinates=True, records_per_part=3)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files[0] == "failed.tsv" and len(files) > 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_prepared_data_set_can_be_prepared_again(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "one")
    pf.prepare(tmp_path / "one", tmp_path / "two", labels=["ss", "binding_site"])
    names = {
        name for one in load_proteins(tmp_path / "two") for name in (*one.labels, *(one.text or ()))
    }
    assert names == {"ss", "binding_site"}
    pf.prepare(tmp_path / "one", tmp_path / "three")
    check_same(tmp_path / "one", tmp_path / "three")
    for mine, other in zip(
        load_proteins(tmp_path / "one"), load_proteins(tmp_path / "three"), strict=True
    ):
        assert (mine.contacts is None) == (other.contacts is None)
        if mine.contacts is not None:
            np.testing.assert_array_equal(mine.contacts.pairs, other.contacts.pairs)
    with pytest.raises(InputError, match="prepared with CA below 8 A, 6 or more apart"):
        pf.prepare(tmp_path / "one", tmp_path / "four", contacts=pf.Contact(cutoff=10.0))
    assert not (tmp_path / "four").exists()


@pytest.mark.parametrize(("atom", "separation"), [("CA", 0), ("CB", 1), ("CA", 6)])
@pytest.mark.parametrize("n", [1, 7, 60, 300])
def test_contacts_as_a_list(n, atom, separation):
    (protein,) = random_proteins([n], seed=n)
    contact = pf.Contact(atom, 8.0, separation)
    listed = contact_pairs(contact, protein)
    bare = Protein("p", protein.sequence, contacts=listed)
    for asked in (separation, separation + 3):
        prop = pf.Contact(atom, 8.0, asked)
        for expected, got in zip(prop.encode(protein), prop.encode(bare), strict=True):
            np.testing.assert_array_equal(expected, got)
        rows = prop.rows(bare)(n // 3, n)
        np.testing.assert_array_equal(rows[0], prop.encode(protein)[0][n // 3 :])
    for other in (pf.Contact(atom, 7.0, separation), pf.Contact("CB" if atom == "CA" else "CA")):
        with pytest.raises(InputError, match=r"prepared with .* without coordinates.*--coord"):
            other.encode(bare)


def test_bad_lists_of_contacts_are_refused():
    (protein,) = random_proteins([30], seed=1)
    good = contact_pairs(pf.Contact(separation=2), protein)
    resolved = np.ones(30, bool)
    for pairs, mask in (
        ([[3, 3]], resolved), ([[5, 2]], resolved), ([[1, 30]], resolved), ([[2, 3]], resolved),
        ([[1, 9], [1, 9]], resolved), ([[1, 9]], ~resolved), ([[1, 9]], resolved[:-1]),
        ([1, 9], resolved), ([[1.0, 9.0]], resolved),
    ):  # fmt: skip
        bad = type(good)("CA", 8.0, 2, np.array(pairs), mask)
        with pytest.raises(InputError, match="contacts: expected"):
            Protein("p", protein.sequence, contacts=bad)


def test_with_coordinates_any_contact_is_known(corpus, tmp_path, esm):
    pf.prepare(corpus, tmp_path / "set", coordinates=True, contacts=pf.Contact("CB", 7.0))
    for contact in (pf.Contact("CB", 7.0, 9), pf.Contact("CA", 12.0, 2)):
        results = [
            pf.analyze(esm, given, [contact], threads=1) for given in (corpus, tmp_path / "set")
        ]
        assert results[0].eligible["contact"].any()
        np.testing.assert_array_equal(results[0].counts["contact"], results[1].counts["contact"])
        np.testing.assert_array_equal(
            results[0].eligible["contact"], results[1].eligible["contact"]
        )


def test_other_contacts_than_those_prepared_are_told(corpus, tmp_path, esm):
    pf.prepare(corpus / "c.cif", tmp_path / "set")
    with pytest.raises(InputError, match="prepared with CA below 8 A"):
        pf.analyze(esm, tmp_path / "set", [pf.Contact(cutoff=6.0)], threads=1)
    pf.prepare(corpus / "c.cif", tmp_path / "none", contacts=False)
    result = pf.analyze(esm, tmp_path / "none", ["contact"], threads=1)
    assert any("known for no residue" in note for note in result.notes)


def test_numbers_keep_their_last_bit(tmp_path):
    values = [0.1, 1 / 3, 1e300, np.nan, -0.0]
    proteins = [
        Protein("a", "MKVLA", values={"x": values, "half": [0.5] * 5}),
        Protein("b", "MK", labels={"big": np.array([300, -1]), "small": np.array([127, -1])}),
        Protein("c", "MKV"),
    ]
    pf.prepare(proteins, tmp_path / "set")
    check_same(proteins, tmp_path / "set")
    with pa.memory_map(str(tmp_path / "set" / "part-00000.arrow")) as mapped:
        schema = pa.ipc.open_file(mapped).schema
    kinds = {field.name: field.type for field in schema if ":" in field.name}
    assert kinds == {
        "value:x": pa.list_(pa.float64()), "value:half": pa.list_(pa.float32()),
        "label:big": pa.list_(pa.int16()), "label:small": pa.list_(pa.int8()),
    }  # fmt: skip


@pytest.mark.parametrize("others", [{}, {"fine": np.array([1, 0, 1], np.int16)}])
def test_labels_that_cannot_be_computed_fail_later_as_they_do_now(tmp_path, others):
    def fail():
        raise RuntimeError("no backbone")

    proteins = [Protein("a", "MKV", labels=LazyLabels(others, {"x": fail}))]
    pf.prepare(proteins, tmp_path / "set")
    check_same(proteins, tmp_path / "set")
    (one,) = load_proteins(tmp_path / "set")
    with pytest.raises(InputError, match=r"'a'.*labels\['x'\].*no backbone"):
        one.labels["x"]


def test_what_was_set_aside_is_told_in_a_file(tmp_path):
    odd = 'back\\slash\ttab\nline"quote'
    (tmp_path / "a.csv").write_text(
        f'id,sequence\n"{odd.replace(chr(34), 2 * chr(34))}",M1\nb,MK\n'
    )
    pf.prepare(tmp_path / "a.csv", tmp_path / "set")
    text = (tmp_path / "set" / "failed.tsv").read_text().splitlines()
    assert len(text) == 2 and text[0].split("\t") == list(failed_table.COLUMNS)
    (aside,) = prepared.set_aside(tmp_path / "set")
    assert (aside.id, aside.line, aside.source) == (odd, 2, "a.csv")


def test_manifest_says_what_was_done(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "set", unique="none")
    content = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (content["format"], content["format_version"]) == ("provis_fast.prepared", 1)
    assert content["options"]["reading"]["unique"] == ["none"]
    assert content["inputs"] == load_proteins(corpus).digests()
    assert content["columns"]["labels"]["secondary_structure"] == [
        "helix",
        "strand",
        "turn",
        "other",
    ]
    assert "score" in content["columns"]["values"] and "ss" in content["columns"]["text"]
    assert content["contacts"] == {"atom": "CA", "cutoff": 8.0, "separation": 6}
    counts = content["records"]
    assert counts["read"] == counts["kept"] + counts["skipped"] + counts["failed"]
    (digest,) = load_proteins(tmp_path / "set").digests()
    assert digest["prepared_from"] == content["inputs"]
    assert digest["bytes"] == sum(f.stat().st_size for f in (tmp_path / "set").iterdir())
    assert digest["sha256"] == read_manifest(tmp_path / "set").sha256


def test_reading_may_begin_anywhere(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "set", records_per_part=2)
    whole = list(prepared.read(tmp_path / "set", "", None))
    for first in range(len(whole) + 2):
        part = list(prepared.read(tmp_path / "set", "", None, first))
        assert [one.id for one in part] == [one.id for one in whole[first:]]


def test_a_data_set_is_one_input_among_others(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "in" / "set")
    (tmp_path / "in" / "more.fasta").write_text(">one\nMKVLAAGWC\n>new\nMKV\n")
    records = list(load_proteins(tmp_path / "in").records())
    more = [(one.id, type(one)) for one in records if one.source == "more.fasta"]
    assert sorted(more, key=str) == [("new", Protein), ("one", Protein)]
    again = [one for one in records if isinstance(one, SetAside) and "in more.fasta" in one.reason]
    assert [one.source for one in again] == ["a.fasta"]


def test_proteins_of_a_data_set_can_be_sent_to_other_processes(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "set", coordinates=True)
    for protein in load_proteins(tmp_path / "set"):
        raw = pickle.dumps(protein)
        assert len(raw) < 5000  # not the part that it is a slice of
        same(protein, pickle.loads(raw))


def test_a_result_is_no_data_set(corpus, tmp_path, esm):
    result = pf.analyze(esm, corpus / "c.cif", threads=1)
    storage.save(result, tmp_path / "result")
    (tmp_path / "result" / "failed.tsv").touch()
    with pytest.raises(InputError):
        list(load_proteins(tmp_path / "result", format="prepared").records())
    assert not [one for one in load_proteins([tmp_path]).files if one.name == "result"]


def test_a_part_is_no_table(corpus, tmp_path):
    pf.prepare(corpus, tmp_path / "set")
    with pytest.raises(InputError, match="part of a prepared data set"):
        list(load_proteins(tmp_path / "set" / "part-00000.arrow").records())


def test_targets_and_arguments(corpus, tmp_path):
    fasta = corpus / "a.fasta"
    pf.prepare(fasta, tmp_path / "set")
    with pytest.raises(ResultError, match="overwrite"):
        pf.prepare(fasta, tmp_path / "set")
    assert pf.prepare(fasta, tmp_path / "set", overwrite=True, records_per_part=1).kept == 2
    assert pf.prepare(fasta, tmp_path / "set", overwrite=True).kept == 2
    assert len(list((tmp_path / "set").glob("part*"))) == 1
    (tmp_path / "set" / "mine.txt").write_text("keep")
    with pytest.raises(ResultError, match="mine"):
        pf.prepare(fasta, tmp_path / "set", overwrite=True)
    with pytest.raises(ResultError, match="something else"):
        pf.prepare(fasta, corpus, overwrite=True)
    for bad in ({"labels": [1]}, {"contacts": 8.0}, {"records_per_part": 0}, {"format": "x"}):
        with pytest.raises(ArgumentError, match=next(iter(bad))):
            pf.prepare(fasta, tmp_path / "other", **bad)
    (tmp_path / "bad.fasta").write_text(">a\nM1\n>b\nM2\n")
    with pytest.raises(
        InputError, match=r"no protein could be prepared, of 2 records read:\nfailed"
    ):
        pf.prepare(tmp_path / "bad.fasta", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_inputs_from_a_list(tmp_path, capsys):
    (tmp_path / "a.fasta").write_text(">a\nACDE\n")
    (tmp_path / "b.fasta").write_text(">b\nMKV\n")
    (tmp_path / "list.txt").write_text("b.fasta\n")
    command = ["prepare", "--out", str(tmp_path / "set")]
    given = [str(tmp_path / "a.fasta"), "--inputs-from", str(tmp_path / "list.txt")]
    assert main([*command, *given]) == 0
    assert [protein.id for protein in pf.load_proteins(tmp_path / "set")] == ["a", "b"]
    assert main(["prepare", "--out", str(tmp_path / "none")]) == 2
    assert "INPUT: expected a file or folder" in capsys.readouterr().err


def test_command_line(corpus, tmp_path, capsys):
    out = str(tmp_path / "set")
    assert main(["prepare", str(corpus), "--out", out, "--contact-cutoff", "9"]) == 3
    printed = capsys.readouterr()
    assert re.search(r"\d+ records read: \d+ kept, \d+ skipped, \d+ failed", printed.out)
    assert "failed: bad (a.fasta)" in printed.err and "residues/s" in printed.err
    assert read_manifest(tmp_path / "set").contacts == ("CA", 9.0, 6)
    assert main(["prepare", str(corpus / "c.cif"), "--out", out]) == 2
    assert "--overwrite" in capsys.readouterr().err
    more = ["--overwrite", "--no-contacts", "--labels", "binding_site", "--compress"]
    assert main(["prepare", str(corpus / "c.cif"), "--out", out, *more]) == 0
    (one,) = load_proteins(out)
    assert list(one.labels) == ["binding_site"] and one.contacts is None
    assert (
        main(["prepare", str(corpus), "--out", out, "--no-contacts", "--contact-atom", "CB"]) == 2
    )
    table = tmp_path / "t.csv"
    table.write_text("key,prot\na,MKV\n")
    columns = ["--id-column", "key", "--sequence-column", "prot", "--overwrite"]
    assert main(["prepare", str(table), "--out", out, *columns]) == 0
    assert [one.id for one in load_proteins(out)] == ["a"]


def test_how_the_input_was_read_is_told_of_the_data_set(tmp_path):
    (tmp_path / "a.pdb").write_text(pdb_text(chain("MET LYS VAL")))
    pf.prepare(tmp_path / "a.pdb", tmp_path / "data", min_plddt=50, plddt="b_factor")
    source = load_proteins(tmp_path / "data")
    assert (source.settings["min_plddt"], source.settings["plddt"]) == (("50.0",), ("b_factor",))
    assert source.settings["format"] == ("prepared",)
    (tmp_path / "a.fa").write_text(">p\nMKV\n")
    both = load_proteins([tmp_path / "data", tmp_path / "a.fa"])
    assert both.settings["min_plddt"] == ("50.0", "70.0")
