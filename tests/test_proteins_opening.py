"""Compressed files: both kinds, several members, damage, and bombs."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import zstandard

from provis_fast.errors import InputError
from provis_fast.proteins import SetAside, limits, load_proteins, opening
from provis_fast.proteins.lines import bounded_lines

TEXT = b"".join(b">p%d\n%s\n" % (i, b"ACDEFGHIKLMNPQRSTVWY"[i % 15 :] * 9) for i in range(3000))
ZSTD = zstandard.ZstdCompressor().compress
PACK = {"gzip": gzip.compress, "zstd": ZSTD}
SUFFIX = {"gzip": ".gz", "zstd": ".zst"}


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["a.fa", "a.fa.gz", "a.fa.zst"])
def test_the_content_tells_not_the_name(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes(PACK[kind](TEXT))
    assert opening.compression_of(path) == kind and opening.is_compressed(path)
    assert opening.read_bytes(path) == TEXT
    assert opening.first_bytes(path) == TEXT[:512]
    assert len(list(load_proteins(path))) == 3000


@pytest.mark.parametrize("kind", PACK)
def test_a_name_says_what_plain_content_is_not(tmp_path, kind):
    path = tmp_path / f"a.fa{SUFFIX[kind]}"
    path.write_bytes(TEXT)
    with pytest.raises(InputError, match=f"damaged {kind} file"):
        list(load_proteins(path))
    with pytest.raises(InputError, match=f"damaged or cut-off {kind} file"):
        opening.read_bytes(path)


@pytest.mark.parametrize("kind", PACK)
def test_several_members(tmp_path, kind):
    pack = PACK[kind]
    path = tmp_path / "a"
    pieces = [TEXT[:1000], b"", TEXT[1000:1001], TEXT[1001:]]
    path.write_bytes(b"".join(map(pack, pieces)) + b"\0" * 100)
    assert opening.read_bytes(path) == TEXT
    path.write_bytes(b"".join(pack(TEXT[i : i + 1]) for i in range(2000)))
    assert opening.read_bytes(path) == TEXT[:2000]


def test_frames_of_zstandard_that_hold_no_data(tmp_path):
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    (tmp_path / "a.zst").write_bytes(ZSTD(TEXT) + skippable + ZSTD(b"end"))
    assert opening.read_bytes(tmp_path / "a.zst") == TEXT + b"end"
    # Written as a stream: neither frame nor first bytes say how large the content is.
    stream = io.BytesIO()
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(stream, closefd=False) as to:
        to.write(TEXT)
    (tmp_path / "b.zst").write_bytes(stream.getvalue())
    assert opening.read_bytes(tmp_path / "b.zst") == TEXT


@pytest.mark.parametrize("kind", PACK)
def test_no_file_cut_off_passes_for_a_whole_one(tmp_path, kind):
    path = tmp_path / "a"
    packed = PACK[kind](TEXT[:2000])
    for size in range(4, len(packed)):
        path.write_bytes(packed[:size])
        with pytest.raises(InputError, match=f"damaged or cut-off {kind}"):
            opening.read_bytes(path)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("after", [b"garbage", b"\x1f\x8b", b"\x28\xb5\x2f\xfd\x04"])
def test_what_follows_the_last_member_is_not_passed_over(tmp_path, kind, after):
    path = tmp_path / "a.fa"
    path.write_bytes(PACK[kind](TEXT) + after)
    *good, bad = load_proteins(path).records()
    assert len(good) == 2999
    assert isinstance(bad, SetAside) and "damaged or cut off in or after" in bad.reason


def test_all_before_the_damage_is_read(tmp_path):
    path = tmp_path / "a.fa.gz"
    packed = bytearray(gzip.compress(TEXT))
    packed[-5] ^= 1  # the check sum of the content
    path.write_bytes(packed)
    *good, bad = load_proteins(path).records()
    assert len(good) == 2999 and (bad.id, bad.line) == ("p2999", 5999)


@pytest.mark.parametrize("kind", PACK)
def test_bombs_are_noticed(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CONTENT_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "MAX_CONTENT_RATIO", 100)
    bomb = PACK[kind](TEXT + b">bomb\n" + b"M" * (8 << 20))
    path = tmp_path / f"a.fa{SUFFIX[kind]}"
    path.write_bytes(bomb)
    *good, bad = load_proteins(path).records()
    assert len(good) == 3000 and bad.id == "bomb"
    assert "unpack to more than" in bad.reason and "decompression bomb" in bad.reason
    with pytest.raises(InputError, match="decompression bomb"):
        opening.read_bytes(path)
    (tmp_path / f"b.pdb{SUFFIX[kind]}").write_bytes(bomb)
    with pytest.raises(InputError, match="decompression bomb"):
        list(load_proteins(tmp_path / f"b.pdb{SUFFIX[kind]}"))


@pytest.mark.parametrize("kind", PACK)
def test_large_files_that_are_no_bombs_are_read(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CONTENT_BYTES", 1000)
    (tmp_path / "a").write_bytes(PACK[kind](TEXT))  # thrice 1000 bytes, not 1000 times its size
    assert opening.read_bytes(tmp_path / "a") == TEXT


@pytest.mark.parametrize("pack", [bytes, gzip.compress, ZSTD])
def test_a_file_read_whole_has_a_limit(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", len(TEXT))
    (tmp_path / "a").write_bytes(pack(TEXT))
    assert opening.read_bytes(tmp_path / "a") == TEXT
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", len(TEXT) - 1)
    with pytest.raises(InputError, match="read whole; split it"):
        opening.read_bytes(tmp_path / "a")


def test_lines_are_bounded():
    stream = io.BytesIO(b"one\n" + b"x" * 3_000_000 + b"\ntwo\n1234\n12345\nend")
    lines = list(bounded_lines(stream, 5))
    assert lines == [
        (1, b"one\n"),
        (2, b"xxxxxx"),  # one byte more than the limit: it is longer
        (3, b"two\n"),
        (4, b"1234\n"),
        (5, b"12345\n"),
        (6, b"end"),
    ]


def test_folders_with_zstandard(tmp_path: Path):
    (tmp_path / "a.faa.zst").write_bytes(ZSTD(b">p\nMKV\n"))
    assert [(p.id, p.source) for p in load_proteins(tmp_path)] == [("p", "a.faa.zst")]
