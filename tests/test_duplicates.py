"""Which proteins were there before: digests in little memory."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from provis_fast import _text
from provis_fast.proteins import Protein, SetAside
from provis_fast.proteins.duplicates import Duplicates

OTHER = 1 << 32


def test_ids_and_sequences():
    index = _text.IdIndex()
    assert index.add("p", "MKV", 5) == -1
    assert index.add("p", "MKV", 9) == 5
    assert index.add("p", "MKVL", 9) == 5 + OTHER
    assert index.add("p ", "MKV", (1 << 32) - 1) == -1
    assert index.add("p ", "", 0) == (1 << 32) - 1 + OTHER
    assert index.add("", "", 0) == -1
    assert index.add("\u00e4", "MKV", 1) == -1
    assert index.add("\u00e4", "MKV", 2) == 1
    assert len(index) == 4


def test_it_agrees_with_a_dictionary_while_it_grows():
    rng = np.random.default_rng(3)
    index, known = _text.IdIndex(), {}
    for step, number in enumerate(rng.integers(0, 30_000, 60_000).tolist()):
        identifier, sequence = f"protein {number}", "MKVLA"[: 1 + (number * step) % 2]
        found = index.add(identifier, sequence, step)
        if identifier not in known:
            known[identifier] = step, sequence
            assert found == -1
        else:
            first, before = known[identifier]
            assert found == first + (OTHER if sequence != before else 0)
    assert len(index) == len(known)


def test_slots_that_collide():
    """Ids whose digests begin alike want the same slot, and are told apart all the same."""
    wanted = []
    number = 0
    while len(wanted) < 20:  # the low six bits: slots of the smallest table
        if hashlib.blake2b(str(number).encode(), digest_size=16).digest()[0] & 63 == 63:
            wanted.append(str(number))
        number += 1
    index = _text.IdIndex()
    assert [index.add(name, name, int(name)) for name in wanted] == [-1] * 20
    assert [index.add(name, name, 0) for name in wanted] == [int(name) for name in wanted]


@pytest.mark.parametrize("n", [1_000, 20_000, 52_000, 53_000, 110_000])
def test_memory(n):
    index = _text.IdIndex()
    for number in range(n):
        index.add(str(number), "M", 0)
    assert index.nbytes <= 40 * n + 30_000  # the last block is not full


def test_first_ids_of_sequences():
    index = _text.SequenceIndex()
    assert index.add("MKV", "first \u00e4") == "first \u00e4"
    assert index.add("MKV", "second") == "first \u00e4"
    for number in range(5000):
        assert index.add("M" * (number + 4), f"p{number}") == f"p{number}"
    assert index.add("M" * 4, "late") == "p0" and index.add("MKV", "") == "first \u00e4"
    assert len(index) == 5001


def test_reasons():
    before = Duplicates()
    before.begin_entry(False)
    p = Protein("p", "MKV", source="a.fa", line=3)
    assert before.once(p) is p
    same = before.once(Protein("p", "mkv", source="b.fa", line=7))
    assert same == SetAside("p", "skipped", "duplicate id, first in a.fa", "b.fa", 7)
    other = before.once(Protein("p", "MK"))
    assert other.status == "failed" and "in memory, is not the one of the same id in a.fa" in (
        other.reason
    )
    q = Protein("q", "MKV", source="b.fa")
    assert before.once(q) is q  # another id
    assert len(before) == 2 and before.nbytes < 60_000


def test_the_same_sequence_within_an_entry_alone():
    before = Duplicates()
    for entry in ("1ABC", "2ABC"):
        before.begin_entry(True)
        first, second, third = (Protein(f"{entry}_{chain}", "MKV", source=entry) for chain in "ABC")
        assert before.once(first) is first
        assert before.once(second).reason == f"duplicate: the same sequence as {entry}_A"
        assert before.once(third).reason == f"duplicate: the same sequence as {entry}_A"
    assert before.once(first).reason == "duplicate id, first in 2ABC"
