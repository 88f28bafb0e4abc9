"""The compiled FASTA reader against the plain one, however the text is cut into chunks."""

from __future__ import annotations

import io
import logging
from dataclasses import asdict
from pathlib import Path

import fasta_reference
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, fasta, limits
from provis_fast.proteins.formats import Reading

PATH = Path("a.fasta")


class Pieces(io.RawIOBase):
    """A file that is read in given pieces."""

    def __init__(self, pieces: list[bytes]):
        self.pieces = [piece for piece in pieces if piece]

    def read1(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def outcome(records) -> list:
    """All that can be told of records, and of the error that ends them."""
    found: list = []
    try:
        for record in records:
            found.append((type(record).__name__, asdict(record)))
    except InputError as error:
        found.append(str(error))
    return found


def expected(text: bytes) -> list:
    return outcome(fasta_reference.records(io.BytesIO(text), PATH, "a"))


@pytest.fixture(autouse=True)
def quiet():
    """No warnings about nucleotides: there are thousands."""
    logging.getLogger("provis_fast.proteins.fasta").disabled = True
    yield
    logging.getLogger("provis_fast.proteins.fasta").disabled = False


def read_in_pieces(pieces: list[bytes]) -> list:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "open_text", lambda path: Pieces(pieces))
        return outcome(fasta.read(PATH, "a", Reading()))


LINES = st.one_of(
    st.sampled_from(
        [
            *(b"", b">", b"> ", b">\t", b">p", b"> q r", b">\xc3\xa9 x", b">\xff", b">p;x"),
            *(b">a\x0bb", b"MKV", b"mkv", b"M K\tV", b"MKV*", b"*", b"**", b"-", b"--*"),
            *(b"M-K.V", b";", b"; >x", b"MK\r", b"\r", b"\x0b\x0c", b"A1", b"A\xc3\x84"),
            *(b"A\xff", b"A>B", b" >p", b"#x", b"ACGT" * 10, b"ACGT" * 9 + b"ACG", b"X" * 70),
            *(b"ACGT" * 10 + b"M", b"\0", b"M\0K", b"\xef\xbb\xbf>p", b"\xef\xbb\xbf"),
            *(b"\xff\xfe", b"[{@`"),
        ]
    ),
    st.binary(max_size=6),
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=12).map(b"\n".join),
    st.lists(LINES, max_size=12).map(lambda lines: b">first\nMKV\n" + b"\n".join(lines)),
    st.binary(max_size=40),
)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example(b">p\nMK*\n--\n>q\nMK*\nA\n>r\nMK\n*\n*\n")
@example(b">a\n\n\n>b\n;\n>c")
@example(b"\n;x\n\xef\xbb\xbf>a\nMK\n")
def test_the_same_whole_and_cut_anywhere(text):
    wanted = expected(text)
    assert read_in_pieces([text]) == wanted
    for at in range(1, len(text)):
        assert read_in_pieces([text[:at], text[at:]]) == wanted, at


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_the_same_in_small_pieces(text, size):
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert read_in_pieces(pieces) == expected(text)


def test_a_long_file_in_chunks_of_its_own(tmp_path):
    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWYacdef", dtype=np.uint8)
    lines = []
    for number in range(3000):
        lines.append(b">p%d of many" % number)
        body = rng.choice(letters, rng.integers(1, 900)).tobytes()
        lines += [body[at : at + 60] for at in range(0, len(body), 60)]
        if number % 97 == 0:
            lines.append(b"M-K" if number % 2 else b"M1")
    text = b"\n".join(lines)
    path = tmp_path / "a.fasta"
    path.write_bytes(text)
    assert len(text) > 4 * fasta._CHUNK
    found = outcome(fasta.read(path, "a", Reading()))
    assert found == expected(text) and len(found) == 3000
    # Each says on which line it begins.
    for kind, record in found:
        begins = record["line"] if kind == "Protein" else None
        assert begins is None or lines[begins - 1].split()[0] == b">" + record["id"].encode()


def test_a_protein_of_the_fast_path_is_one_of_the_constructor(tmp_path):
    (tmp_path / "a.fa").write_text("\n>p x\nmkv\n")
    (found,) = fasta.read(tmp_path / "a.fa", "a.fa", Reading())
    made = Protein("p", "MKV", source="a.fa", line=2)
    assert asdict(found) == asdict(made) and len(found) == 3
    assert found.labels == {} and found.labels is not made.labels


def test_limits_of_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_RESIDUES", 50)
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", 200)
    monkeypatch.setattr(fasta, "_CHUNK", 64)
    records = [b">good\n" + b"M" * 50 + b"\n", b">long\n" + b"M" * 51 + b"\n"]
    records += [b">huge x\n" + b"M\n" * 5000, b">endless" + b"x" * 5000, b"\nMK\n", b">last\nMK\n"]
    text = b"".join(records)
    path = tmp_path / "a.fasta"
    path.write_bytes(text)
    good, long, huge, endless, last = fasta.read(path, "a", Reading())
    assert (good.id, last.id) == ("good", "last")
    assert "at most 50 residues, got 51" in long.reason and (long.id, long.line) == ("long", 3)
    assert "at most 200 bytes" in huge.reason and (huge.id, huge.line) == ("huge", 5)
    assert endless.id.startswith("endlessxx") and endless.line == 5006
    assert isinstance(endless, SetAside) and last.line == 5008
    for size in (1, 7, 199, 200, 201, 300, 10_000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        found = read_in_pieces(pieces)
        lines = [record["line"] for _, record in found]
        assert lines == [1, 3, 5, 5006, 5008]
        assert [kind for kind, _ in found] == ["Protein", *["SetAside"] * 3, "Protein"]


def test_a_line_without_end_is_never_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", 1 << 16)
    longest = 0
    split = fasta._text.split_fasta

    def watched(text, *arguments):
        nonlocal longest
        longest = max(longest, len(text))
        return split(text, *arguments)

    monkeypatch.setattr(fasta._text, "split_fasta", watched)
    path = tmp_path / "a.fasta"
    path.write_bytes(b">one\n" + b"M" * (8 << 20) + b"\n>two\nMK\n")
    one, two = fasta.read(path, "a", Reading())
    assert "at most 65,536 bytes" in one.reason and two.id == "two"
    assert longest < 1 << 20
    path.write_bytes(b"M" * (8 << 20))
    with pytest.raises(InputError, match="not FASTA"):
        list(fasta.read(path, "a", Reading()))
