"""UniProt's formats and GFF3: the same entries give the same proteins in all of them."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
import uniprot_files
from Bio import SeqIO, SwissProt
from uniprot_files import ENTRIES, FILES, SEQUENCE

import provis_fast as pf
from provis_fast.errors import InputError
from provis_fast.properties.registry import resolve
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.proteins.features import Feature, key_of, residue_labels


def records(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(load_proteins(path, **options).records())


def assert_same(left: list, right: list) -> None:
    assert [p.id for p in left] == [p.id for p in right]
    for one, other in zip(left, right, strict=True):
        assert isinstance(one, Protein) and isinstance(other, Protein)
        assert one.sequence == other.sequence
        assert list(one.labels) == list(other.labels)
        for name in one.labels:
            np.testing.assert_array_equal(one.labels[name], other.labels[name], name)
        assert one.notes == other.notes


def positions(protein: Protein, label: str, value: int = 1) -> list[int]:
    """Residues of a class, counted from 1."""
    return (np.flatnonzero(protein.labels[label] == value) + 1).tolist()


def test_labels_of_a_flat_file(tmp_path):
    first, second, third, fourth = records(tmp_path / "a.txt", uniprot_files.flat())
    assert [p.id for p in (first, second, third, fourth)] == [e.accession for e in ENTRIES]
    assert first.sequence == SEQUENCE and first.source == "a.txt" and first.cluster is None
    span = lambda start, end: list(range(start, end + 1))  # noqa: E731
    want = {
        "signal_peptide": span(1, 12),
        "disulfide": [26, 43, 73],
        "binding_site": [30, *span(50, 55)],
        "active_site": [10],
        "modification": [9, 20, 33],
        "cross_link": [38],
        "transmembrane": span(70, 90),
        "domain": span(20, 120),
        "zinc_finger": span(60, 80),
        "dna_binding": span(81, 99),
        "coiled_coil": span(100, 130),
        "disordered": span(121, 141),
    }
    assert set(first.labels) == {*want, "author_secondary_structure"}
    for name, residues in want.items():
        assert positions(first, name) == residues, name
        assert positions(first, name, 0) == sorted(set(span(1, len(SEQUENCE))) - set(residues))
    structure = "author_secondary_structure"
    assert positions(first, structure, 0) == span(40, 48)  # helix, before turn
    assert positions(first, structure, 2) == span(49, 51)
    assert positions(first, structure, 1) == span(60, 64)
    assert positions(first, structure, 3) == span(52, 59)
    assert positions(first, structure, -1) == [*span(1, 39), *span(65, len(SEQUENCE))]
    assert first.notes == ()
    assert positions(second, "active_site") == [1, 20] and list(second.labels) == ["active_site"]
    assert not third.labels and not third.notes  # nothing annotated is nothing known
    assert positions(fourth, "binding_site") == [60] and list(fourth.labels) == ["binding_site"]
    (note,) = fourth.notes
    for told in (
        "TRANSIT 1..? (position uncertain)",
        "SIGNAL <1..5 (position uncertain)",
        "MOD_RES ?15 (position uncertain)",
        "DOMAIN 40..>60 (position uncertain)",
        "BINDING 61 (outside residues 1 to 60)",
        "ACT_SITE P00004-2:3 (of another isoform)",
    ):
        assert told in note


@pytest.mark.parametrize("name", FILES)
def test_lines_of_entries(tmp_path, name):
    file, text = FILES[name]
    found = records(tmp_path / file, text(), format=name)
    if name == "uniprot-json":
        assert {record.line for record in found} == {None}  # it is no file of lines
        return
    lines = text().split("\n")
    for record in found:  # the accession stands on the entry's first line, or soon after
        assert record.id in "\n".join(lines[record.line - 1 : record.line + 1])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressed", [False, True])
def test_formats_agree(tmp_path, name, compressed):
    flat = records(tmp_path / "flat.dat", uniprot_files.flat())
    file, text = FILES[name]
    data = text().encode()
    path = tmp_path / (file + ".gz" if compressed else file)
    assert_same(records(path, gzip.compress(data) if compressed else data), flat)
    assert_same(records(tmp_path / "told", data, format=name), flat)


@pytest.mark.parametrize(
    "text",
    [
        uniprot_files.xml(namespace="https://uniprot.org/uniprot"),
        uniprot_files.xml(namespace=""),
        uniprot_files.xml(prefix="up"),
        uniprot_files.xml().replace("'UTF-8'", "'UTF-16'").encode("utf-16"),
        b"\xef\xbb\xbf" + uniprot_files.xml().encode(),
        b"\xef\xbb\xbf" + uniprot_files.flat().encode(),
        uniprot_files.flat().replace("\n", "\r\n"),
        uniprot_files.tsv().replace("\n", "\r\n"),
        uniprot_files.tsv(keys=tuple(uniprot_files.NAMES)[::-1], columns=("Sequence", "Entry")),
        uniprot_files.json_text(indent=2),
        uniprot_files.json_lines(),
        json.dumps(uniprot_files.json_entries()),
        json.dumps(uniprot_files.json_entries(), indent=1),
        json.dumps({"facets": [], "results": uniprot_files.json_entries()}),
        uniprot_files.gff3().replace("##FASTA\n", ""),
    ],
    ids=str,
)
def test_variants_of_formats_agree(tmp_path, text):
    flat = records(tmp_path / "flat.dat", uniprot_files.flat())
    assert_same(records(tmp_path / "data.txt", text), flat)


def test_single_entry_of_json(tmp_path):
    (entry,) = uniprot_files.json_entries(ENTRIES[:1])
    for indent in (None, 2):
        found = records(tmp_path / "a.json", json.dumps(entry, indent=indent))
        assert_same(found, records(tmp_path / "a.dat", uniprot_files.flat(ENTRIES[:1])))


def test_old_feature_tables(tmp_path):
    old = (
        "ID   OLD_TEST       STANDARD;      PRT;    20 AA.\nAC   P12345;\n"
        "FT   METAL         3      3       Zinc (By similarity).\n"
        "FT   NP_BIND       5      9       ATP.\n"
        "FT   CA_BIND      11     12\n"
        "FT   REGION       14     16       Disordered. {ECO:0000256|SAM:MobiDB-lite}.\n"
        "FT   REGION       18     19       Interaction with others that is not\n"
        "FT                                Disordered.\n"
        "FT   TRANSMEM      ?     13       Potential.\n"
        "FT   SIGNAL       <1      4\n"
        "SQ   SEQUENCE   20 AA;  4321 MW;  0123456789ABCDEF CRC64;\n"
        "     ACDEFGHIKL MNPQRSTVWY\n//\n"
    )
    (protein,) = records(tmp_path / "a.dat", old)
    assert positions(protein, "binding_site") == [3, 5, 6, 7, 8, 9, 11, 12]
    assert positions(protein, "disordered") == [14, 15, 16]
    assert set(protein.labels) == {"binding_site", "disordered"}
    assert "TRANSMEM ?..13" in protein.notes[0] and "SIGNAL <1..4" in protein.notes[0]
    assert SwissProt.read(io.StringIO(old)).sequence == protein.sequence


def biopython_residues(features, key: str) -> list[int]:
    """Residues within features of a kind that have exact positions, counted from 1."""
    found = set()
    for feature in features:
        start, end = feature.location.start, feature.location.end
        if feature.type == key and type(start).__name__ == type(end).__name__ == "ExactPosition":
            found |= set(range(start + 1, end + 1))
    return sorted(found)


ONE_KEY = {
    "active_site": ("ACT_SITE", "active site"),
    "signal_peptide": ("SIGNAL", "signal peptide"),
    "transmembrane": ("TRANSMEM", "transmembrane region"),
    "domain": ("DOMAIN", "domain"),
    "dna_binding": ("DNA_BIND", "DNA-binding region"),
}


def test_real_flat_files_against_biopython(shared):
    folder = shared / "data" / "uniprot"
    seen = 0
    for path in sorted(folder.glob("*.txt")):
        ours = list(load_proteins(path))
        with path.open() as stream:
            theirs = list(SwissProt.parse(stream))
        assert [p.id for p in ours] == [r.accessions[0] for r in theirs]
        for protein, record in zip(ours, theirs, strict=True):
            assert protein.sequence == record.sequence and not protein.notes
            for label, (key, _) in ONE_KEY.items():
                want = biopython_residues(record.features, key)
                assert (positions(protein, label) if label in protein.labels else []) == want
                seen += len(want)
            sites = biopython_residues(record.features, "BINDING")
            assert (positions(protein, "binding_site") if sites else []) == sites
    assert seen > 100


def test_real_entries_in_all_formats(shared, tmp_path):
    """What Biopython finds in real flat files, written in each format, gives the same proteins."""
    entries, flat = [], []
    for path in sorted((shared / "data" / "uniprot").glob("*.txt")):
        flat += load_proteins(path)
        with path.open() as stream:
            for record in SwissProt.parse(stream):
                features = tuple(
                    uniprot_files.F(
                        feature.type,
                        str(feature.location.start + 1),
                        str(int(feature.location.end)),
                        feature.qualifiers.get("note", ""),
                    )
                    for feature in record.features
                    if feature.type in uniprot_files.NAMES
                )
                accession = record.accessions[0]
                entries.append(uniprot_files.Entry(accession, record.sequence, features))
    assert len(flat) == 3 and sum(len(p.labels) for p in flat) > 10
    for name, (file, text) in FILES.items():
        assert_same(records(tmp_path / file, text(entries), format=name), flat)


def test_real_xml_against_biopython(shared):
    folder = shared / "data" / "uniprot"
    seen = 0
    for path in sorted(folder.glob("*.xml")):
        ours = list(load_proteins(path))
        theirs = list(SeqIO.parse(path, "uniprot-xml"))
        assert [p.id for p in ours] == [r.id for r in theirs]
        for protein, record in zip(ours, theirs, strict=True):
            assert protein.sequence == str(record.seq)
            for label, (_, key) in ONE_KEY.items():
                want = biopython_residues(record.features, key)
                assert (positions(protein, label) if label in protein.labels else []) == want
                seen += len(want)
    assert seen > 500


@pytest.mark.parametrize("name", FILES)
def test_nothing_at_all_is_told(tmp_path, name):
    path = tmp_path / "a"
    for text in (b"", b"\n\n", b"%PDF-1.4\n%\xff\xff"):
        path.write_bytes(text)
        with pytest.raises(InputError):
            list(load_proteins(path, format=name).records())


@pytest.mark.parametrize("name", FILES)
def test_cut_off_compressed_files(tmp_path, name):
    file, text = FILES[name]
    rng = np.random.default_rng(0)  # noise that compresses badly, so that the cut is in the middle
    many = [
        uniprot_files.Entry(f"P{i:05}", "".join(rng.choice(list("ACDEFGHIKL"), 300)))
        for i in range(300)
    ]
    data = gzip.compress(text(many).encode())
    found = records(tmp_path / f"{file}.gz", data[: len(data) * 2 // 3])
    assert sum(isinstance(r, Protein) for r in found) > 50
    failed = [r for r in found if isinstance(r, SetAside)]
    assert failed and "compressed file is damaged or cut off" in failed[0].reason
    assert {r.id for r in found if isinstance(r, Protein)} <= {e.accession for e in many}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("limit", ["MAX_RESIDUES", "MAX_FEATURES"])
def test_records_over_the_limits_are_set_aside(tmp_path, monkeypatch, name, limit):
    monkeypatch.setattr(
        f"provis_fast.proteins.features.{limit}", {"MAX_RESIDUES": 100}.get(limit, 8)
    )
    file, text = FILES[name]
    found = records(tmp_path / file, text())
    (failed,) = [r for r in found if isinstance(r, SetAside)]
    assert failed.id == "P00001" and (
        "100 residues" in failed.reason or "8 features" in failed.reason
    )
    assert [r.id for r in found if r is not failed] == ["P00002", "P00003", "P00004"]


@pytest.mark.parametrize("name", ["uniprot_text", "uniprot_xml", "uniprot_json", "uniprot_tsv"])
def test_large_records_are_set_aside_and_not_held(tmp_path, monkeypatch, name):
    monkeypatch.setattr(f"provis_fast.proteins.{name}.MAX_RECORD_BYTES", 300_000)
    file, text = FILES[name.replace("_text", "").replace("_", "-")]
    huge = uniprot_files.F("REGION", "1", "2", "x" * 50 + " " + "y " * 300_000)
    large = uniprot_files.Entry("P99999", "MKV", (huge,))
    found = records(tmp_path / file, text((ENTRIES[1], large, ENTRIES[2])))
    assert [r.id for r in found if isinstance(r, Protein)] in (
        ["P00002", "P00003"],
        ["P00002"],  # JSON: a string of that length cannot be passed over
    )
    (failed,) = [r for r in found if isinstance(r, SetAside)]
    assert "MiB" in failed.reason


def test_every_label_of_features_is_a_property():
    features = [Feature(f.key, f.location) for f in ENTRIES[0].features if key_of(f.key)]
    features.append(Feature("TRANSIT", "1..3"))
    labels, _ = residue_labels(features, len(SEQUENCE))
    protein = Protein("p", SEQUENCE, labels)
    assert len(labels) == 14  # the rows of the table in features.py
    for name, array in labels.items():
        (prop,) = resolve(name)
        np.testing.assert_array_equal(prop.labels(protein), array)


def test_analysis_of_a_flat_file(tmp_path, esm):
    path = tmp_path / "a.txt"
    path.write_text(uniprot_files.flat())
    properties = ["binding_site", "disulfide", "author_secondary_structure", "disordered"]
    result = pf.analyze(esm, pf.load_proteins(path), properties=properties, threshold=0.01)
    assert result.background["disulfide"][0] == 3 / len(SEQUENCE)  # one protein has any
    assert result.background["binding_site"][0] == (7 + 1) / (len(SEQUENCE) + 60)
    assert result.background["disordered"][0] == 21 / len(SEQUENCE)
    assert result.eligible["disulfide"].sum() > 1000
    assert any("features left out" in note for note in result.notes)
