"""UniProt's formats and GFF3: what is refused, set aside, or left out, and with what words."""

from __future__ import annotations

import tracemalloc

import pytest
import uniprot_files
from test_proteins_uniprot import positions, records
from uniprot_files import ENTRIES, FILES, Entry, F

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.proteins.formats import Reading, formats

SMALL = ENTRIES[1:3]  # P00002, P00003
LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(12))
DOCTYPES = {
    "billion laughs": f'<!DOCTYPE uniprot [<!ENTITY l0 "lol">{LAUGHS}]>',
    "external entity": '<!DOCTYPE uniprot [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "external parameter entity": '<!DOCTYPE uniprot [<!ENTITY % x SYSTEM "http://x/a"> %x;]>',
    "external subset": '<!DOCTYPE uniprot SYSTEM "http://example.org/uniprot.dtd">',
    "public subset": '<!DOCTYPE uniprot PUBLIC "-//X//EN" "uniprot.dtd">',
    "plain": "<!DOCTYPE uniprot>",
}


def failed(found: list) -> list[SetAside]:
    return [record for record in found if isinstance(record, SetAside)]


def ids(found: list) -> list[str]:
    return [record.id for record in found if isinstance(record, Protein)]


@pytest.mark.parametrize("kind", DOCTYPES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_document_types_are_refused(tmp_path, kind, encoding):
    text = uniprot_files.xml(SMALL).replace("MKV", "&l12;&x;")
    text = text.replace("<uniprot", DOCTYPES[kind] + "\n<uniprot")
    text = text.replace("'UTF-8'", "'UTF-16'" if encoding == "utf-16" else f"'{encoding[:6]}'")
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    for options in ({}, {"format": "uniprot-xml"}):
        with pytest.raises(InputError, match="declares a document type or entities") as error:
            list(load_proteins(path, **options).records())
        assert error.value.line == 2


def test_undeclared_entities_are_damage(tmp_path):
    text = uniprot_files.xml(SMALL).replace("MKV", "&l12;")
    found = records(tmp_path / "a.xml", text)
    assert ids(found) == ["P00002"]
    assert "undefined entity" in failed(found)[0].reason


@pytest.mark.parametrize(
    "text, told",
    [
        ("<uniparc xmlns='http://uniprot.org/uniparc'/>", "root <uniprot>, got <uniparc>"),
        ("<uniprot xmlns='http://example.org/'/>", "of http://example.org/"),
        ("<uniprot/>", "no entry"),
        ("<uniprot><x/></uniprot>", "no entry"),
        ("<?xml version='1.0' encoding='EBCDIC-X'?><uniprot/>", "EBCDIC-X"),
    ],
)
def test_other_xml_is_refused(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        records(tmp_path / "a.xml", text, format="uniprot-xml")


@pytest.mark.parametrize(
    "old, new",
    [
        ("</entry>", ""),
        ("</entry>", "</entrX>"),
        ("<accession>", "<accession"),
        ("<protein>", "<protein></other>"),
        ('<feature type="active site"', '<feature type="active" site"'),
        ("<protein>", "<a>" * 200),
        ("<comment", "\x01<comment"),
        ("<comment", "<!-- <comment"),
    ],
)
def test_xml_goes_on_at_the_next_entry(tmp_path, old, new):
    entries = (*SMALL, Entry("P00007", "MKVLA" * 5000), Entry("P00008", "MKVL"))
    text = uniprot_files.xml(entries)
    found = records(tmp_path / "a.xml", text.replace(old, new, 1))
    (broken,) = failed(found)
    assert ids(found)[-2:] == ["P00007", "P00008"]
    assert len(found) == 4 or "<!--" in new
    assert broken.line is not None and 3 <= broken.line <= 14
    if new == "</entrX>":
        assert broken.id == "P00002" and "mismatched tag" in broken.reason


def test_lines_of_xml_behind_damage(tmp_path):
    text = uniprot_files.xml((*SMALL, Entry("P00007", "MKVLA" * 50_000), Entry("P00008", "M1")))
    text = text.replace("<protein>", "<protein></other>", 1)
    found = records(tmp_path / "a.xml", text)
    first, long, bad = failed(found)
    assert first.line == text[: text.index("</other>")].count("\n") + 1
    assert long.id == "P00007" and "100,000 residues" in long.reason
    assert bad.id == "P00008"
    assert bad.line == text[: text.index("<accession>P00008")].count("\n")


@pytest.mark.parametrize(
    "junk", ["<entry <entry ", "<!--<entry>", "<entry>", "<entry><![CDATA[", "<entry></x>"]
)
def test_much_damage_to_xml_takes_no_time_without_end(tmp_path, monkeypatch, junk):
    monkeypatch.setattr("provis_fast.proteins.uniprot_xml._MAX_TOKEN", 1 << 18)
    text = uniprot_files.xml((*SMALL, Entry("P00007", "MKVLA")))
    text = text.replace("</entry>", "</entry>" + junk * 20_000, 1)
    found = records(tmp_path / "a.xml", text)
    assert ids(found)[0] == "P00002" and failed(found)
    if "<!" not in junk:
        assert ids(found)[-1] == "P00007"


def test_damaged_flat_files(tmp_path):
    def read(old: str, new: str, count: int = 1) -> list:
        text = uniprot_files.flat()
        assert old in text
        return records(tmp_path / "a.txt", text.replace(old, new, count), format="uniprot")

    found = read("//\nID   P00002", "ID   P00002")
    assert ids(found) == ["P00002", "P00003", "P00004"]
    (cut,) = failed(found)
    assert cut.id == "P00001" and "next entry begins on line" in cut.reason and cut.line == 1

    found = read("ID   P00002", "IX   P00002")
    (headless,) = failed(found)
    assert headless.id == f"line {headless.line}" and "'ID   ...'" in headless.reason

    found = read("AC   P00002", "AX   P00002")
    assert "accession" in failed(found)[0].reason and ids(found) == ["P00001", "P00003", "P00004"]

    found = read("     ACDEFGHIKL", "     ACDEFGHIK")
    assert "expected 20 residues, as the entry says, got 19" in failed(found)[0].reason
    found = read("     ACDEFGHIKL", "     ACDEFGHIK7")
    assert "one letter A-Z" in failed(found)[0].reason
    found = read("SQ   SEQUENCE   20 AA", "SQ   SEQUENCE   none AA")
    (one,) = failed(found)
    assert "expected 'SQ   SEQUENCE" in one.reason
    lines = uniprot_files.flat().split("\n")
    assert lines[one.line - 1].startswith("SQ   SEQUENCE   20 AA")

    found = records(tmp_path / "a.txt", uniprot_files.flat()[:-3])
    assert failed(found)[0].id == "P00004" and "the file ends" in failed(found)[0].reason
    found = read("DE   RecName", "DE   " + "x" * (2 << 20), 2)
    assert [f.id for f in failed(found)] == ["P00001", "P00002"]
    with pytest.raises(InputError, match="not a UniProt flat file"):
        records(tmp_path / "a.txt", ">one\nMKV\n", format="uniprot")


def test_damaged_feature_lines_cost_no_protein(tmp_path):
    text = uniprot_files.flat(SMALL).replace("ACT_SITE        20", "ACT_SITE        2O..")
    first, _ = records(tmp_path / "a.txt", text)
    assert positions(first, "active_site") == [1]
    assert "ACT_SITE 2O.. (no position)" in first.notes[0]


def test_headers_of_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    with pytest.raises(InputError, match=r"'Sequence'.*got 0 among 'Helix, Entry, Length'"):
        records(path, "Helix\tEntry\tLength\nHELIX 1..3\tP1\t3\n", format="uniprot-tsv")
    with pytest.raises(InputError, match=r"'Entry'.*got 2"):
        records(path, "Entry\tEntry\tSequence\nP1\tP1\tMKV\n")
    with pytest.raises(InputError, match="no rows"):
        records(path, "Entry\tSequence\n")
    (other,) = records(path, "id\tsequence\nP1\tMKV\n", format=None)
    assert other.id == "P1" and other.line == 2  # a table, though not UniProt's
    wide = "\t".join(["Entry", "Protein names", *(f"column {i}" for i in range(200)), "Sequence"])
    (protein,) = records(path, wide + "\nP1\t" + "\t" * 201 + "MKV\n")
    assert protein.sequence == "MKV"


def test_rows_of_tsv(tmp_path):
    def read(cell: str, sequence: str = "MKVLA", length: str = "5") -> Protein | SetAside:
        text = f"Entry\tft_binding\tSequence\tLength\nP1\t{cell}\t{sequence}\t{length}\n"
        (found,) = records(tmp_path / "a.tsv", text)
        return found

    quoted = 'BINDING 2; /note="a; BINDING 5; "; /ligand="5""-x; BINDING 1"; BINDING 3..4'
    assert positions(read(quoted), "binding_site") == [2, 3, 4]
    spreadsheet = '"' + quoted.replace('"', '""') + '"'
    assert positions(read(spreadsheet), "binding_site") == [2, 3, 4]
    assert not read("").labels
    for bad in ("52", "BINDING", "BINDING 2; BINDING", 'BINDING 2; /note="a; BINDING 3; x'):
        one = read(bad)
        assert isinstance(one, SetAside) or positions(one, "binding_site") == [2]
    assert "column 'ft_binding'" in read("52").reason
    assert read("", "MKVL").reason.startswith("expected 5 residues")
    one = read("", "MKVLA\textra")
    assert one.line == 2 and "expected 4 columns, as in the header, got 5" in one.reason
    assert read("", "").reason.startswith("expected a sequence")


def test_json_lines_go_on_behind_damage(tmp_path):
    lines = uniprot_files.json_lines(ENTRIES).split("\n")
    lines[1] = lines[1][:-5]
    lines[2] = "[1, 2]"
    found = records(tmp_path / "a.json", "\n".join(lines))
    assert ids(found) == ["P00001", "P00004"]
    assert [record.line for record in failed(found)] == [2, 3]
    (crowd,) = failed(
        records(tmp_path / "b.json", f"{lines[0]}\n{lines[3]}\n[{'1,' * 200_000}1]\n")
    )
    assert crowd.line == 3 and "got more" in crowd.reason


def test_json_ends_with_damage(tmp_path):
    text = uniprot_files.json_text(ENTRIES)
    cut = text.index('"P00002"') + 20
    found = records(tmp_path / "a.json", text[:cut])
    assert ids(found) == ["P00001"]
    assert failed(found)[0].id == "P00002" and "cannot be read" in failed(found)[0].reason
    found = records(tmp_path / "a.json", text.replace('"P00002"', '"P00002'))
    assert ids(found) == ["P00001"] and len(failed(found)) == 1
    for bad in ('{"results": []}', "[]", "{}", "7", "not", '{"results": {}}'):
        try:
            found = records(tmp_path / "a.json", bad, format="uniprot-json")
        except InputError:
            continue
        assert failed(found) and not ids(found), bad


def test_json_of_other_content(tmp_path):
    found = records(
        tmp_path / "a.json",
        '{"results": [7, null, {"primaryAccession": "P1"}, {"primaryAccession": "P2", '
        '"sequence": "MKV"}, {"primaryAccession": 3, "sequence": {"value": "MKV"}}, '
        '{"primaryAccession": "P4", "entryType": "Inactive"}, '
        '{"primaryAccession": "P5", "sequence": {"value": "MKV"}, "features": [7, '
        '{"type": "Active site"}, {"type": 1, "location": 5}, {"type": "Active site", "location":'
        ' {"start": {"value": 1e300}, "end": {"value": true}}}, '
        '{"type": "Active site", "location": {"start": {"value": 2}, "end": {"value": 2}}}]}]}',
        format="uniprot-json",
    )
    assert [(r.id, r.status) for r in failed(found)] == [
        ("entry 1", "failed"),
        ("entry 2", "failed"),
        ("P1", "failed"),
        ("P2", "failed"),
        ("entry 5", "failed"),
        ("P4", "skipped"),
    ]
    (last,) = [record for record in found if isinstance(record, Protein)]
    assert last.id == "P5" and positions(last, "active_site") == [2]
    assert len(last.notes[0].split(", ")) == 2


GFF3 = (
    "##gff-version 3\n"
    "P1\tUniProtKB\tBinding site\t2\t2\t.\t.\t.\tID=b;Note=a%3Bb\n"
    "P1\tUniProtKB\tBinding site\t4\t5\t.\t.\t.\tID=b\n"
    "P1\tUniProtKB\tActive site\t1\t1\t.\t.\t.\tID=a\n"
    "P1\tUniProtKB\tActive site\t3\t9\t.\t.\t.\tID=a\n"
    "P1\tMobiDBLite\tprotein_match\t1\t3\t.\t.\t.\tName=mobidb-lite\n"
    "P1\tPhobius\tprotein_match\t4\t5\t.\t.\t.\tName=TRANSMEMBRANE\n"
    "P1\tPhobius\tprotein_match\t1\t2\t.\t.\t.\tName=SIGNAL_PEPTIDE\n"
    "P1\tPfam\tprotein_match\t1\t5\t.\t.\t.\tName=PF00001\n"
    "P1\tx\tbeta_strand\t2\t3\t.\t.\t.\t.\n"
    "P%3A2\tx\tActive site\t2\t2\t.\t.\t.\tID=a\n"
)


def test_gff3(tmp_path):
    found = records(tmp_path / "a.gff3", GFF3 + "##FASTA\n>P1\nMKVLA\n>P3\nMK\n")
    first, third, missing = found
    assert positions(first, "binding_site") == [2, 4, 5]
    assert "active_site" not in first.labels  # a part of it lies outside
    assert "ACT_SITE 1,3..9 (outside residues 1 to 5)" in first.notes[0]
    assert positions(first, "disordered") == [1, 2, 3]
    assert positions(first, "transmembrane") == [4, 5]
    assert positions(first, "signal_peptide") == [1, 2]
    assert positions(first, "author_secondary_structure") == [2, 3]
    assert not {"domain", "zinc_finger"} & set(first.labels)
    assert third.id == "P3" and not third.labels
    assert missing.id == "P:2" and "##FASTA section has no sequence" in missing.reason


@pytest.mark.parametrize("suffix", [".fa", ".fasta", ".faa", ".fa.gz"])
def test_gff3_with_a_fasta_file_beside_it(tmp_path, suffix):
    import gzip

    fasta = uniprot_files.fasta(ENTRIES).encode()
    beside = tmp_path / f"a{suffix}"
    beside.write_bytes(gzip.compress(fasta) if suffix.endswith("gz") else fasta)
    (tmp_path / "b.fa").write_text(">other\nMKV\n")
    text = uniprot_files.gff3(ENTRIES, sequences=False)
    found = records(tmp_path / "a.gff3", text)
    want = records(tmp_path / "whole.gff3", uniprot_files.gff3(ENTRIES))
    assert [p.sequence for p in found] == [p.sequence for p in want]
    assert list(found[0].labels) == list(want[0].labels)
    (tmp_path / "whole.gff3").unlink()
    folder = load_proteins(tmp_path)
    assert [p.id for p in folder] == [*(e.accession for e in ENTRIES), "other"]
    assert folder.notes == (f"a{suffix}: not read apart, but with a.gff3",)
    assert [d["path"] for d in folder.digests()] == ["a.gff3", f"a{suffix}", "b.fa"]


def test_sequences_beside_a_gff3_file_are_that_files(tmp_path):
    (tmp_path / "a.fa").write_text(">P1\nMKV\n>bad\nM1\n>P2\nMKL\n")
    text = "##gff-version 3\n\n##sequence-region P1 1 3\nP1\tx\tHelix\t1\t2\t.\t.\t.\tID=h\n"
    one, bad, two = records(tmp_path / "a.gff3", text)
    assert (one.source, one.line) == ("a.gff3", 3)
    assert [(r.id, r.source, r.line) for r in (bad, two)] == [("bad", "a.fa", 4), ("P2", "a.fa", 5)]


def test_notes_of_blanks_take_no_time_without_end(tmp_path):
    blanks = " " * 500_000  # a search that goes back over them would take minutes
    text = uniprot_files.flat(SMALL)
    old = f"FT   DOMAIN        1      2       {blanks}x {{ECO:1}}.\nSQ   SEQ"
    assert len(records(tmp_path / "a.dat", text.replace("SQ   SEQ", old, 1))) == len(SMALL)


def test_gff3_without_sequences(tmp_path):
    found = records(tmp_path / "a.gff3", GFF3)
    assert [record.id for record in failed(found)] == ["P1", "P:2"] and not ids(found)
    assert "no ##FASTA section, and no FASTA file" in found[0].reason and found[0].line == 2
    with pytest.raises(InputError, match="annotates nucleotides") as error:
        records(tmp_path / "a.gff3", GFF3 + "chr1\tx\tgene\t1\t2\t.\t.\t.\tID=g\n")
    assert error.value.line == 12
    found = records(tmp_path / "a.gff3", GFF3 + "P1\tx\ty\n##FASTA\n>P1\nMKVLA\n")
    assert found[0].line == 12 and "nine columns" in found[0].reason
    with pytest.raises(InputError, match="not GFF3"):
        records(tmp_path / "a.gff3", "P1\tx\n")


def test_parts_of_a_gff3_feature_are_limited(tmp_path):
    line = "P1\tx\tHelix\t1\t2\t.\t.\t.\tID=h\n"
    found = records(tmp_path / "a.gff3", GFF3 + line * 5000 + "##FASTA\n>P1\nMKVLA\n")
    assert "too many lines of the feature with the ID 'h'" in found[0].reason


def test_features_before_sequences_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("provis_fast.proteins.gff3.MAX_HELD", 5)
    with pytest.raises(InputError, match="more than 5 features"):
        records(tmp_path / "a.gff3", GFF3 + "##FASTA\n>P1\nMKVLA\n")


@pytest.mark.parametrize("name", FILES)
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, name):
    """Of many entries, one of them far over the limit: neither is held."""
    for module in ("uniprot_text", "uniprot_xml", "uniprot_json", "uniprot_tsv", "gff3"):
        monkeypatch.setattr(f"provis_fast.proteins.{module}.MAX_RECORD_BYTES", 200_000)
    many = [Entry(f"P{i:05}", "MKVLAAGWCT" * 40, (F("HELIX", "2", "9"),)) for i in range(3000)]
    huge = tuple(F("CHAIN", str(i % 300 + 1), "400", f"a note, {i}") for i in range(20_000))
    many[1500] = many[1500]._replace(features=huge)
    file, text = FILES[name]
    path = tmp_path / file
    path.write_text(text(many))
    assert path.stat().st_size > 2_000_000
    one_of_all = formats()[name].read(path, file, Reading())
    good = 0
    tracemalloc.start()
    try:
        for record in one_of_all:
            if isinstance(record, Protein):
                good += 1
            else:
                assert record.id in ("P01500", "line 1502") and "MiB" in record.reason
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert good == (3000 if name == "gff3" else 2999)  # GFF3 lines that are not used are not held
    assert peak < (6_000_000 if name == "gff3" else 1_500_000), peak


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("accession", ["", "P1 P2", "P\u00a01", "P" * 300])
def test_accessions_that_are_none(tmp_path, name, accession):
    file, text = FILES[name]
    if name == "gff3":  # what else the header says would be the name
        accession = accession.replace(" ", "\u2028") or "P" * 201
    found = records(tmp_path / file, text((Entry(accession, "MKV"), ENTRIES[1])), format=name)
    bad = [record for record in found if record.id != "P00002"]
    assert bad and all("expected an accession" in record.reason for record in bad)
    assert not any(record.id.startswith("P") for record in bad)


def test_text_that_utf8_cannot_hold(tmp_path):
    text = uniprot_files.json_text(SMALL).replace("P00003", "P\\ud800").replace("MKV", "\\udfff")
    for record in records(tmp_path / "a.json", text):
        (record.id + getattr(record, "reason", "")).encode()
