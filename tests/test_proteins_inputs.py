"""How inputs are named: patterns, lists of files, standard input."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from pathlib import Path

import pytest
from structure_text import chain, pdb_text

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import Protein, load_proteins


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of files with one protein each, named after the file."""
    folder = tmp_path / "data"
    for name in ("b.fa", "a.fa", "c.fasta", "sub/d.fa", "sub/deep/e.fa", "x.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f">{name[0] if '/' not in name else name}\nMKV\n")
    (folder / "f.fa.gz").write_bytes(gzip.compress(b">f\nMKV\n"))
    return folder


def ids(inputs, **options) -> list[str]:
    return [protein.id for protein in load_proteins(inputs, **options)]


def test_patterns_are_sorted(data):
    assert ids(str(data / "*.fa")) == ["a", "b"]
    assert ids(data / "[bc].fa*") == ["b", "c"]
    assert ids(str(data / "?.fa.gz")) == ["f"]


def test_a_pattern_of_all_depths(data):
    source = load_proteins(str(data / "**" / "*.fa"))
    assert [p.id for p in source] == ["a", "b", "sub/d.fa", "sub/deep/e.fa"]
    assert [p.source for p in source] == ["a.fa", "b.fa", "sub/d.fa", "sub/deep/e.fa"]
    assert source.notes == ()


def test_a_pattern_of_all_depths_follows_no_links(data):
    (data / "one").mkdir()
    (data / "two").mkdir()
    (data / ".hidden").mkdir()
    (data / "one" / "y.fa").write_text(">y\nMKV\n")
    (data / ".hidden" / "z.fa").write_text(">z\nMKV\n")
    for name in ("one", "two"):  # as often as one likes round these circles
        (data / name / "up").symlink_to(data, target_is_directory=True)
    found = [p.relative_to(data) for p in load_proteins(f"{data}/**/*.fa").files]
    assert len(found) == len(set(found)) and not any("up" in p.parts for p in found)
    assert ids(f"{data}/**/y.fa") == ids(f"{data}/one/**") == ["y"]
    assert ids(f"{data}/**/.hid*/*.fa") == ["z"]
    with pytest.raises(InputError, match="no file fits"):
        load_proteins(f"{data}/**/z.fa")


def test_what_a_pattern_leaves_out_is_noted(data):
    source = load_proteins(str(data / "*"))
    assert [p.id for p in source] == ["a", "b", "c", "f"]
    folders, others = source.notes
    assert "1 folder(s) that fit are not searched; write **" in folders
    assert "1 other file(s) not read: x.md" in others


def test_a_pattern_that_fits_nothing(data):
    with pytest.raises(InputError, match=r"\*\.pdb: no file fits this pattern"):
        load_proteins(str(data / "*.pdb"))
    with pytest.raises(InputError, match=r"\*\.md: no file that fits.*known kind.*--format"):
        load_proteins(str(data / "*.md"))
    assert ids(str(data / "*.md"), format="fasta") == ["x"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].fa").write_text(">p\nMKV\n")
    assert ids(tmp_path / "a[1].fa") == ["p"]


def test_patterns_relative_to_the_working_folder(data, monkeypatch):
    monkeypatch.chdir(data)
    source = load_proteins("sub/*.fa")
    assert [(p.id, p.source) for p in source] == [("sub/d.fa", "d.fa")]
    assert ids("*.fa") == ["a", "b"]


def test_a_list_of_inputs(data, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text("# two files\n\n  data/b.fa  \r\ndata/sub/*.fa\n" + f"{data / 'c.fasta'}\n")
    assert ids(f"@{names}") == ["b", "sub/d.fa", "c"]
    assert ids([f"@{names}", data / "a.fa", Protein("z", "MK")])[-2:] == ["a", "z"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"data/b.fa\nabsent.fa\n", r"list\.txt:2: .*absent\.fa: no such file"),
        (b"# nothing\n", r"list\.txt: the list of inputs names none"),
        (b"\n\xff\xfe\n", r"list\.txt:2: expected the path"),
        (b"x" * 100_000, r"list\.txt:1: expected the path"),
        (b"a\0b\n", r"list\.txt:1: expected the path"),
        (b"data/x.md\n", r"list\.txt:1: .*unknown kind of file"),
        (b"-\n", r"list\.txt:1: standard input cannot be named in a list"),
    ],
)
def test_a_bad_list_says_where(data, tmp_path, text, said):
    (tmp_path / "list.txt").write_bytes(text)
    with pytest.raises(InputError, match=said):
        load_proteins(f"@{tmp_path / 'list.txt'}")


def test_no_list(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read"):
        load_proteins(f"@{tmp_path / 'absent.txt'}")


def pipe_in(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input(monkeypatch, compress):
    content = compress(b">p\nMKV\n>bad\nM1\n>q\nMK\n")
    pipe_in(monkeypatch, content)
    source = load_proteins("-", format="fasta")
    assert source.digests() == [
        {"path": "stdin", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    ]
    for _ in range(2):  # as often as wanted
        p, bad, q = source.records()
        assert (p.id, q.id, p.source, bad.source, bad.line) == ("p", "q", "stdin", "stdin", 4)


def test_a_structure_from_standard_input_is_called_by_no_file_number(monkeypatch):
    pipe_in(monkeypatch, pdb_text(chain("MET LYS VAL")).encode())
    assert ids("-", format="pdb") == ["stdin_A"]


def test_standard_input_is_named_in_errors(monkeypatch):
    pipe_in(monkeypatch, b"no fasta\n")
    with pytest.raises(InputError, match=r"^stdin:1: not FASTA"):
        list(load_proteins("-", format="fasta"))


def test_standard_input_beside_files_and_only_once(monkeypatch, data):
    pipe_in(monkeypatch, b">p\nMKV\n")
    assert ids(["-", data / "a.fa"], format="fasta") == ["p", "a"]
    pipe_in(monkeypatch, b">p\nMKV\n")
    with pytest.raises(ArgumentError, match="once at most"):
        load_proteins(["-", "-"], format="fasta")


def test_standard_input_that_cannot_be(monkeypatch):
    pipe_in(monkeypatch, b"")
    with pytest.raises(InputError, match="mapped into memory"):
        load_proteins("-", format="tape")
    with pytest.raises(InputError, match="say which format"):
        load_proteins("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="terminal or closed"):
        load_proteins("-", format="fasta")


def test_a_file_called_minus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text(">p\nMKV\n")
    assert ids("-", format="fasta") == ["p"]


def test_the_command_line_hands_inputs_on(monkeypatch, data, tmp_path, capsys):
    from provis_fast import cli
    from provis_fast.cli import analyze

    class Seen(Exception):
        pass

    def stop(model, proteins, *arguments, **options):
        raise Seen([(p.id, len(p)) for p in proteins])

    monkeypatch.setattr(analyze, "load", lambda arguments, device: None)
    monkeypatch.setattr(analyze, "analyse", stop)
    (tmp_path / "list.txt").write_text("data/b.fa\n")
    (tmp_path / "x.a3m").write_text(">x1\nMKV\n>hit\nM-V\n")
    command = ["analyze", "tiny", str(tmp_path / "x.a3m"), "--out", str(tmp_path / "out")]
    with pytest.raises(Seen) as seen:
        cli.main([*command, "--inputs-from", str(tmp_path / "list.txt"), "--a3m-rows", "all"])
    assert seen.value.args[0] == [("x1", 3), ("x1/hit", 2), ("b", 3)]
    assert cli.main(["analyze", "tiny", "--out", str(tmp_path / "out")]) == 2
    assert "INPUT: expected a file or folder" in capsys.readouterr().err
