"""FASTA files, and what is common to all inputs: discovery, duplicates, digests."""

from __future__ import annotations

import gzip
import hashlib
import operator
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import Protein, SetAside, load_proteins


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def records(path: Path, **options) -> list[Protein | SetAside]:
    return list(load_proteins(path, **options).records())


def test_ids_and_sequences(tmp_path):
    path = write(tmp_path / "a.fasta", ">one first protein\nMKV\nLA\n\n> two\nGGC\r\n>three|x\nW")
    assert [(p.id, p.sequence) for p in records(path)] == [
        ("one", "MKVLA"),
        ("two", "GGC"),
        ("three|x", "W"),
    ]


@pytest.mark.parametrize(
    ("body", "sequence"),
    [
        ("mkvLA", "MKVLA"),
        ("MK VLA\n\n\tG\n", "MKVLAG"),
        ("MKVLA*", "MKVLA"),
        ("MKV\n*\n", "MKV"),
        ("M--K.V", "MKV"),
        ("MK\n; a comment\nVL", "MKVL"),
        ("XUZOB", "XUZOB"),
    ],
)
def test_what_is_accepted(tmp_path, body, sequence):
    (protein,) = records(write(tmp_path / "a.fa", f">p\n{body}"))
    assert protein.sequence == sequence


def test_dropped_gaps_are_noted(tmp_path):
    (protein,) = records(write(tmp_path / "a.fa", ">p\nM--K"))
    assert "2 gap characters" in protein.notes[0]


def test_nucleotides_are_noted(tmp_path):
    (protein,) = records(write(tmp_path / "a.fa", ">p\n" + "ACGT" * 20))
    assert "nucleotide" in protein.notes[0]


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ("MKV1LA", 4, "'1' at residue 4"),
        ("MK\nVL\nA*A\n", 6, "stop codon '*' inside the sequence at residue 6"),
        ("M\n; comment\nK\xe9", 6, "'\xe9' at residue 3"),
        ("", 3, "no residues"),
        ("--*", 3, "no residues"),
    ],
)
def test_a_bad_record_is_set_aside_with_its_line(tmp_path, body, line, said):
    path = write(tmp_path / "a.fa", f">good\nMKV\n>bad\n{body}\n>last\nGG\n".encode("latin-1"))
    good, bad, last = records(path)
    assert (good.id, last.sequence) == ("good", "GG")
    assert (bad.id, bad.status, bad.source) == ("bad", "failed", "a.fa")
    assert said in bad.reason
    assert bad.line == line


def test_a_header_without_id_is_set_aside(tmp_path):
    bad, good = records(write(tmp_path / "a.fa", ">\nMKV\n>b\nMKV\n"))
    assert bad.status == "failed" and "identifier" in bad.reason and bad.line == 1
    assert good.id == "b"


@pytest.mark.parametrize("text", ["", "\n\n", "; only a comment\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"a\.fasta: .*empty"):
        records(write(tmp_path / "a.fasta", text))


def test_not_fasta_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.fasta:2: not FASTA.*'>'.*<html>"):
        records(write(tmp_path / "a.fasta", "\n<html>\n"))


def test_byte_order_mark(tmp_path):
    (protein,) = records(write(tmp_path / "a.fa", b"\xef\xbb\xbf>p\nMKV\n"))
    assert protein.id == "p"


def test_compressed_file(tmp_path):
    write(tmp_path / "a.fa.gz", gzip.compress(b">p\nMKV\n"))
    assert [p.sequence for p in load_proteins(tmp_path / "a.fa.gz")] == ["MKV"]


def test_compressed_file_cut_off_is_not_silent(tmp_path):
    text = "".join(f">p{i}\n{'ACDEFGHIKLMNPQRSTVWY'[i % 20] * 50}\n" for i in range(5000))
    raw = gzip.compress(text.encode())
    *proteins, last = records(write(tmp_path / "a.fa.gz", raw[: len(raw) // 2]))
    assert 100 < len(proteins) < 5000
    assert all(isinstance(p, Protein) and len(p) == 50 for p in proteins)
    assert last.status == "failed" and "cut off" in last.reason
    assert last.line == 2 * len(proteins) + 1
    assert last.id in (f"p{len(proteins)}", f"line {last.line}")  # the header may be cut off, too


def test_a_character_of_several_bytes_is_named_whole(tmp_path):
    bad, _ = records(write(tmp_path / "a.fa", ">bad\nMK\u00c4V\n>good\nMKV\n"))
    assert "the character '\u00c4' at residue 3" in bad.reason


def test_compressed_without_saying_so(tmp_path):
    (protein,) = records(write(tmp_path / "a.fa", gzip.compress(b">p\nMKV\n")))
    assert protein.sequence == "MKV"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(tmp_path, encoding):
    with pytest.raises(InputError, match=r"a\.fasta: .*UTF-16.*save the file as UTF-8"):
        records(write(tmp_path / "a.fasta", ">p\nMKV\n".encode(encoding)))


def test_a_damaged_compressed_file_has_no_line_nought(tmp_path):
    with pytest.raises(InputError, match=r"a\.fasta\.gz: damaged gzip"):
        records(write(tmp_path / "a.fasta.gz", b"\x1f\x8b\x08\x00 no such thing"))


@pytest.mark.parametrize("given", [5, None, [5]])
def test_inputs_are_paths_or_proteins(given):
    with pytest.raises(ArgumentError, match="inputs"):
        load_proteins(given)


def test_pipes_are_refused(tmp_path):
    """They would be empty, or block, when they are read for the second time."""
    os.mkfifo(tmp_path / "pipe.fasta")
    with pytest.raises(InputError, match=r"pipe\.fasta: is a pipe.*to a file first"):
        load_proteins(tmp_path / "pipe.fasta")
    with pytest.raises(InputError, match=r"no file of a known kind"):
        load_proteins(tmp_path)
    write(tmp_path / "a.fasta", ">a\nMKV\n")
    source = load_proteins(tmp_path)
    assert [p.id for p in source] == ["a"]
    assert source.notes == (f"{tmp_path.name}: 1 other file(s) not read: pipe.fasta",)
    with pytest.raises(InputError, match=r"/dev/null: is a device"):
        load_proteins("/dev/null", format="fasta")
    with pytest.raises(InputError, match=r"stdin: say which format.*--format"):
        load_proteins("-")
    code = "import provis_fast as pf; pf.load_proteins('/dev/stdin', format='fasta')"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, input=">a\nMK\n", capture_output=True, text=True, cwd=tmp_path)
    assert "InputError: /dev/stdin: is a pipe" in ran.stderr.replace("provis_fast.errors.", "")


def test_not_a_gzip_file(tmp_path):
    with pytest.raises(InputError, match="gzip"):
        records(write(tmp_path / "a.fa.gz", ">p\nMKV\n"))


def test_an_id_with_another_sequence_has_failed(tmp_path):
    write(tmp_path / "a.fa", ">p\nMKV\n")
    write(tmp_path / "b.fa", ">p\nGG\n>p\nmkv\n")
    _, other, same = records(tmp_path)
    assert (other.id, other.status, same.status) == ("p", "failed", "skipped")
    assert "in b.fa," in other.reason and "in a.fa," in other.reason
    assert same.reason == "duplicate id, first in a.fa"


def test_duplicate_ids_are_skipped_across_files(tmp_path):
    write(tmp_path / "a.fa", ">p\nMKV\n>p\nMKV\n")
    write(tmp_path / "b.fa", ">p\nMKV\n>q\nGG\n")
    first, second, third, q = records(tmp_path)
    assert (first.id, first.source, q.id) == ("p", "a.fa", "q")
    assert [(s.status, s.source) for s in (second, third)] == [
        ("skipped", "a.fa"),
        ("skipped", "b.fa"),
    ]
    assert third.reason == "duplicate id, first in a.fa"


def test_same_sequences_are_skipped_when_asked(tmp_path):
    path = write(tmp_path / "a.fa", ">p\nMKV\n>q\nmkv\n>r\nMK\n")
    assert [p.id for p in load_proteins(path)] == ["p", "q", "r"]
    assert [p.id for p in load_proteins(path, unique="sequence")] == ["p", "r"]
    assert "same sequence as p" in records(path, unique="sequence")[1].reason


def test_a_bad_file_among_several_is_set_aside(tmp_path):
    write(tmp_path / "a.fa", "")
    write(tmp_path / "b.fa", "no fasta")
    write(tmp_path / "c.fa", ">p\nMKV\n")
    a, b, c = records(tmp_path)
    assert (a.id, a.status) == ("a.fa", "failed") and "empty" in a.reason
    assert b.line == 1
    assert c.id == "p"


def test_folders_are_walked_in_order_and_other_files_left(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "a.fa", ">sub\nMKV\n")
    write(tmp_path / "z.fa", ">z\nMKV\n")
    write(tmp_path / "README.md", "text")
    write(tmp_path / ".hidden.fa", ">hidden\nMKV\n")
    source = load_proteins(tmp_path)
    assert [(p.id, p.source) for p in source] == [("sub", "sub/a.fa"), ("z", "z.fa")]
    assert source.notes == (f"{tmp_path.name}: 1 other file(s) not read: README.md",)


def test_files_of_the_same_name_are_told_apart(tmp_path):
    for name in ("one/x", "two/x", "two/y"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name / "p.fa", f">{name}\nMKV\n")
    write(tmp_path / "q.fa", ">q\nMKV\n")
    given = [tmp_path / "one" / "x", tmp_path / "two" / "x" / "p.fa", tmp_path / "q.fa"]
    proteins = list(load_proteins([*given, tmp_path / "two" / "y" / "p.fa"]))
    sources = [protein.source for protein in proteins]
    assert sources == ["one/x/p.fa", "two/x/p.fa", "q.fa", "y/p.fa"]
    # The same file given twice, or spelt in two ways, is the same file.
    here = [tmp_path / "q.fa", tmp_path / "one" / ".." / "q.fa"]
    assert [entry["path"] for entry in load_proteins(here).digests()] == ["q.fa", "q.fa"]
    twice = load_proteins([tmp_path / "q.fa", tmp_path / "q.fa"])
    assert [entry["path"] for entry in twice.digests()] == ["q.fa", "q.fa"]


def test_inputs_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_proteins(tmp_path / "absent.fa")
    with pytest.raises(InputError, match=r"unknown kind of file.*format="):
        load_proteins(write(tmp_path / "a.txt", ">p\nMKV\n"))
    with pytest.raises(InputError, match="no file of a known kind"):
        load_proteins(tmp_path)
    with pytest.raises(InputError, match="no inputs"):
        load_proteins([])
    with pytest.raises(ArgumentError, match="format must be"):
        load_proteins(tmp_path, format="genbank")
    with pytest.raises(ArgumentError, match="unique must be"):
        load_proteins(tmp_path, unique="yes")
    with pytest.raises(ArgumentError, match="paths or Protein"):
        load_proteins([3])


def test_format_overrides_the_name(tmp_path):
    path = write(tmp_path / "a.txt", ">p\nMKV\n")
    assert [p.id for p in load_proteins(path, format="fasta")] == ["p"]


def test_source_is_lazy_and_iterates_again(tmp_path):
    path = write(tmp_path / "a.fa", ">p\nMKV\n>q\n")
    source = load_proteins([path])
    assert [p.id for p in source] == [p.id for p in source] == ["p"]
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        list(source)


def test_digests_name_no_folder(tmp_path):
    raw = b">p\nMKV\n"
    path = write(tmp_path / "a.fa", raw)
    assert load_proteins(path).digests() == [
        {"path": "a.fa", "sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    ]
    (memory,) = load_proteins([Protein("p", "MKV")]).digests()
    assert memory["path"] == "memory" and memory["bytes"] == len(b"p\tMKV\n")


def test_an_unreadable_file_among_several_is_set_aside(tmp_path):
    write(tmp_path / "a.fa", ">p\nMKV\n")
    (tmp_path / "b.fa").symlink_to(tmp_path / "absent.fa")
    (tmp_path / "c.pdb").symlink_to(tmp_path / "absent.pdb")
    (tmp_path / "d.lmdb").symlink_to(tmp_path / "absent.lmdb")
    source = load_proteins(tmp_path)
    good, *bad = source.digests()
    assert good["sha256"]
    protein, *aside = source.records()
    assert protein.id == "p"
    assert [a.id for a in aside] == [d["path"] for d in bad] == ["b.fa", "c.pdb", "d.lmdb"]
    for digest, record in zip(bad, aside, strict=True):
        assert digest["sha256"] is None and digest["bytes"] is None
        assert digest["error"] == "cannot be read: No such file or directory"
        assert record.status == "failed" and "No such file" in record.reason
        assert str(tmp_path) not in record.reason


def test_proteins_in_memory():
    proteins = [Protein("p", "mkv"), Protein("p", "MKV"), Protein("q", "GG")]
    first, second, third = load_proteins(proteins).records()
    assert first.sequence == "MKV" and third.id == "q"
    assert second.reason == "duplicate id, first in memory"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sequence": ""}, "one letter A-Z"),
        ({"sequence": "MK-"}, "one letter A-Z"),
        ({"labels": {"site": [0, 1]}}, r"labels\['site'\].*\(3,\).*\(2,\)"),
        ({"labels": {"site": [0.0, 1.0, 0.5]}}, "integers"),
        ({"labels": {"site": [0, 1, 70000]}}, "16 bits"),
        ({"values": {"pLDDT": [1.0]}}, r"values\['pLDDT'\]"),
        ({"values": {"pLDDT": ["a", "b", "c"]}}, "numbers"),
        ({"ca": np.zeros((2, 3))}, r"ca must have shape \(3, 3\)"),
        ({"residue_numbers": ["1"]}, "residue_numbers"),
        ({"id": ""}, "non-empty"),
    ],
)
def test_a_protein_checks_its_parts(options, said):
    with pytest.raises(InputError, match=said):
        Protein(**{"id": "p", "sequence": "MKV", **options})


def test_a_protein_converts_its_parts():
    protein = Protein("p", "mkv", {"site": [True, False, True]}, {"exposure": [1, 2, np.nan]})
    assert protein.labels["site"].dtype == np.int16
    assert protein.values["exposure"].dtype == np.float64
    assert len(protein) == 3


def test_iteration_logs_what_it_leaves_out(tmp_path, caplog):
    path = write(tmp_path / "a.fa", ">p\nMK1\n>q\nMK\n>q\nMK\n")
    with caplog.at_level("INFO"):
        assert [p.id for p in load_proteins(path)] == ["q"]
    failed, skipped = caplog.records
    assert failed.levelname == "WARNING" and "p failed" in failed.getMessage()
    assert skipped.levelname == "INFO" and "duplicate id" in skipped.getMessage()


def test_a_source_and_a_protein_are_inputs_too():
    source = load_proteins(Protein("p", "MKV"))
    assert load_proteins(source) is source
    assert (
        repr(source) == "ProteinSource(p)"
        and repr(next(iter(source))) == "Protein('p', 3 residues)"
    )


def test_records_are_counted_while_files_are_digested(tmp_path):
    path = write(tmp_path / "a.fa", ">a\nMKV\n>b x>y\nMKV\nGA\n>c\nMKV")
    source = load_proteins([path, Protein("d", "MKV")])
    assert operator.length_hint(source, 99) == 99
    source.digests()
    assert operator.length_hint(source, 99) == 4 == len(list(source))
    packed = write(tmp_path / "b.fa.gz", gzip.compress(b">e\nMKV\n"))
    source = load_proteins([path, packed, write(tmp_path / "c.fa.gz", packed.read_bytes())])
    source.digests()
    assert operator.length_hint(source, 99) == 99
    records = source.records()
    assert len([next(records) for _ in range(4)]) == 4
    assert operator.length_hint(source, 99) == 99  # b.fa.gz may have more
    next(records)
    assert operator.length_hint(source, 99) == 5  # c.fa.gz is taken for as long as b.fa.gz
