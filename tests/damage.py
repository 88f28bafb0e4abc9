"""Damage to whole files, for every format that is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins

_NUMBERS = (b"0", b"-1", b"-99999999999999999999", b"9" * 40, b"9" * 5000, b"1e999", b"nan", b"1.5")
_NESTS = (b"[", b"{", b'{"a":', b"<a>", b"<entry>", b"(", b'"', b"&a;", b"\t", b"\n", b">", b"//\n")
_LENGTHS = (-1, 0, 1, 127, 2**31 - 1, 2**40, 2**62, -(2**31))
_STRUCTURE = re.compile(rb"[\t\n,;:<>{}\[\]\"]")

#: Changes a file in place: at a byte, by a number from 1 to 20, with some bytes to put there.
Damage = Callable[[bytearray, int, int, bytes], None]


def _change(raw: bytearray, at: int, n: int, put: bytes) -> None:
    raw[at : at + 1] = put[:1]


def _delete(raw: bytearray, at: int, n: int, put: bytes) -> None:
    del raw[at : at + n]


def _insert(raw: bytearray, at: int, n: int, put: bytes) -> None:
    raw[at:at] = put


def _double(raw: bytearray, at: int, n: int, put: bytes) -> None:
    raw[at:at] = raw[at : at + 5 * n]


def _cut_off(raw: bytearray, at: int, n: int, put: bytes) -> None:
    if n > 14:  # else most of what is left of a file would be its beginning
        del raw[at:]


def _number(raw: bytearray, at: int, n: int, put: bytes) -> None:
    """Make the next number huge, negative, or none at all."""
    if found := re.compile(rb"\d+").search(raw, at):
        raw[found.start() : found.end()] = _NUMBERS[n % len(_NUMBERS)]


def _nest(raw: bytearray, at: int, n: int, put: bytes) -> None:
    """Open something, some thousand times over."""
    raw[at:at] = _NESTS[n % len(_NESTS)] * (put[0] * 16)


def _separator(raw: bytearray, at: int, n: int, put: bytes) -> None:
    """Take out the next character that structures the text, or put another in its place."""
    if found := _STRUCTURE.search(raw, at):
        raw[found.start() : found.end()] = b"" if n % 2 else _NESTS[n % len(_NESTS)]


def _line(raw: bytearray, at: int, n: int, put: bytes) -> None:
    """Take out a line, or move it to the end."""
    start = raw.rfind(b"\n", 0, at) + 1
    end = raw.find(b"\n", at) + 1 or len(raw)
    taken = raw[start:end]
    del raw[start:end]
    if n % 2:
        raw += taken


def _length(raw: bytearray, at: int, n: int, put: bytes) -> None:
    """Make what may be a length or an offset, which are aligned, small, huge or negative."""
    width = 4 if n % 2 else 8
    number = _LENGTHS[put[0] % len(_LENGTHS)] % 2 ** (8 * width)
    raw[at - at % width : at - at % width + width] = number.to_bytes(width, "little")


def _flip(raw: bytearray, at: int, n: int, put: bytes) -> None:
    if at < len(raw):
        raw[at] ^= 1 << n % 8


_ANYWHERE = (_change, _delete, _insert, _double, _cut_off)
#: What happens to files of text, and to binary ones.
TEXT = (*_ANYWHERE, _number, _nest, _separator, _line)
BINARY = (*_ANYWHERE, _length, _flip)


def damaged(whole: bytes, kinds: Sequence[Damage] = TEXT) -> st.SearchStrategy[bytes]:
    """Files with one to five pieces of damage; none more than some 300 kB larger than the whole."""
    step = st.tuples(
        st.sampled_from(kinds),
        st.integers(0, len(whole)),
        st.integers(1, 20),
        st.binary(min_size=1, max_size=20),
    )

    def apply(steps: list) -> bytes:
        raw = bytearray(whole)
        for change, at, n, put in steps:
            change(raw, min(at, len(raw)), n, put)
        return bytes(raw)

    return st.lists(step, min_size=1, max_size=5).map(apply)


def read_all(path: Path, format: str | None = None) -> tuple[int, int]:
    """Read every record and every label; (proteins, set aside or refused)."""
    good = bad = 0
    try:
        for record in load_proteins(path, format=format).records():
            if isinstance(record, SetAside):
                assert record.reason and record.status in ("failed", "skipped")
                assert record.id and (record.line is None or record.line >= 1)
                bad += 1
                continue
            assert isinstance(record, Protein) and len(record) == len(record.sequence) > 0
            good += 1
            for name in record.labels:
                try:
                    assert len(record.labels[name]) == len(record)
                except InputError as error:
                    assert name in str(error)
    except InputError as error:
        assert str(error)
        bad += 1
    return good, bad


def try_damage(
    whole: bytes,
    cases: int,
    read: Callable[[bytes], tuple[int, int]],
    kinds: Sequence[Damage] = TEXT,
) -> list[int]:
    """Damage a file in many ways: `read` must not fail.

    `read` takes a file's bytes and returns as `read_all` does; whatever it raises is a failure.
    Returns the sums of what it returned.
    """
    totals = [0, 0]

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(whole, kinds))
    def one(data: bytes) -> None:
        good, bad = read(data)
        totals[0] += good
        totals[1] += bad

    one()
    return totals


def check_damage(
    whole: bytes,
    cases: int,
    read: Callable[[bytes], tuple[int, int]],
    kinds: Sequence[Damage] = TEXT,
) -> None:
    """Damage a file in many ways; neither may all be refused nor all damage be swallowed."""
    good, bad = read(whole)
    assert good >= 1 and bad == 0
    totals = try_damage(whole, cases, read, kinds)
    assert min(totals) > cases // 20, totals
