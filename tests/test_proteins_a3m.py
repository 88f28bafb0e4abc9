"""A3M alignments: the query, or every row."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import SetAside, load_proteins

TEXT = """\
>ss_pred
CCHHHH
>ss_conf
998877
>q first one
MKVLAG
>hit1 x
MK-LAG
>hit2
-KVttLa-G
>hit1
..mK--AG
>hit3
MK1LAG
>gaps
------
"""


def read(folder: Path, text: str = TEXT, name: str = "a.a3m", **options) -> list:
    (folder / name).write_text(text)
    return list(load_proteins(folder / name, **options).records())


def test_the_query_alone(tmp_path):
    (query,) = read(tmp_path)
    assert (query.id, query.sequence, query.line, query.notes) == ("q", "MKVLAG", 5, ())


def test_all_rows(tmp_path):
    query, hit1, hit2, again, bad, gaps = read(tmp_path, a3m_rows="all")
    assert (query.id, query.sequence) == ("q", "MKVLAG")
    assert (hit1.id, hit1.sequence, hit1.notes) == ("q/hit1", "MKLAG", ())
    assert (hit2.id, hit2.sequence) == ("q/hit2", "KVTTLAG")
    assert (again.id, again.sequence, again.line) == ("q/hit1#2", "MKAG", 11)
    assert (bad.id, bad.status, bad.line) == ("q/hit3", "failed", 14)
    assert "'1' at residue 3" in bad.reason
    assert gaps.id == "q/gaps" and "no residues" in gaps.reason


def test_ids_that_look_like_numbered_ones(tmp_path):
    text = ">q\nMK\n>a#2\nMK\n>a\nMK\n>a\nMK\n>a\nMK\n"
    found = [p.id for p in read(tmp_path, text, a3m_rows="all")]
    assert found == ["q", "q/a#2", "q/a", "q/a#3", "q/a#4"]


def test_the_same_hits_of_two_queries(tmp_path):
    (tmp_path / "a.a3m").write_text(">p\nMKV\n>hit\nM-V\n")
    (tmp_path / "b.a3m").write_text(">q\nMKV\n>hit\n-KV\n")
    found = list(load_proteins(tmp_path, a3m_rows="all").records())
    assert [p.id for p in found] == ["p", "p/hit", "q", "q/hit"]
    assert [p.sequence for p in found] == ["MKV", "MV", "MKV", "KV"]


def test_a_consensus_is_no_protein(tmp_path):
    text = ">q_consensus\nMKVX\n>q\nMKVL\n>hit\nMK\n"
    consensus, query = read(tmp_path, text)
    assert isinstance(consensus, SetAside) and consensus.status == "skipped"
    assert query.id == "q"


def test_colabfold_names_queries_by_the_file(tmp_path):
    text = "#4\t1\n>101\nMKVL\n>hit\nMKV-\n"
    (query,) = read(tmp_path, text, "job1.a3m")
    assert (query.id, query.line) == ("job1", 2)
    (tmp_path / "job2.a3m.gz").write_bytes(gzip.compress(text.encode()))
    assert [p.id for p in load_proteins(tmp_path)] == ["job1", "job2"]
    assert [p.id for p in read(tmp_path, text, "job1.a3m", a3m_rows="all")] == ["job1", "job1/hit"]


def test_several_chains_are_no_protein(tmp_path):
    (found,) = read(tmp_path, "#2,3\t1,1\n>101\t102\nMKVLA\n", "pair.a3m")
    assert (found.id, found.status) == ("pair", "failed")
    assert "chains of 2,3 residues" in found.reason


def test_nothing_after_the_query_is_read(tmp_path):
    text = ">q\nMKV\n" + "".join(f">h{i}\n{'MKVLAG' * 50}\n" for i in range(20_000))
    packed = gzip.compress(text.encode())
    (tmp_path / "a.a3m.gz").write_bytes(packed[: len(packed) // 2])  # the damage is further on
    (query,) = load_proteins(tmp_path / "a.a3m.gz").records()
    assert query.id == "q"
    *_, last = load_proteins(tmp_path / "a.a3m.gz", a3m_rows="all").records()
    assert last.status == "failed" and "cut off" in last.reason


def test_what_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.a3m: .*empty"):
        read(tmp_path, "#3\t1\n")
    with pytest.raises(InputError, match="not FASTA"):
        read(tmp_path, "<html>\n")
    with pytest.raises(ArgumentError, match="a3m_rows must be 'query' or 'all', got 'some'"):
        read(tmp_path, a3m_rows="some")
