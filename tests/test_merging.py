"""Merging: which proteins stand in two results, and what a merged result says."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

import analysis_cases
import numpy as np
import pytest
from result_cases import empty_result, random_result

import provis_fast as pf
from provis_fast.errors import ResultError
from provis_fast.statistics import unknown_note


def _with_digests(seed, digests, n_proteins=3):
    result = random_result(seed, n_proteins)
    result.protein_digests = np.array(sorted(digests), dtype=np.uint64)
    return result


def test_every_analysed_protein_has_a_digest(bert):
    proteins = [*analysis_cases.random_proteins([20, 30, 400]), pf.Protein("odd", "J")]
    result = pf.analyze(bert, proteins)
    expected = [
        int.from_bytes(
            hashlib.blake2b(f"{p.id}\n{p.sequence}".encode(), digest_size=8).digest(), "little"
        )
        for p in proteins[:2]
    ]
    assert result.protein_digests.dtype == np.uint64
    assert result.protein_digests.tolist() == sorted(expected)


def test_a_protein_cut_short_is_the_same_protein(bert):
    proteins = analysis_cases.random_proteins([20, 100])
    results = [pf.analyze(bert, proteins, max_length=50) for _ in range(2)]
    assert len(results[0].protein_digests) == 2
    with pytest.raises(ResultError, match="hold the same 2 protein"):
        pf.merge(results)


def test_the_same_protein_in_two_files_is_noticed(bert, tmp_path):
    proteins = {p.id: p.sequence for p in analysis_cases.random_proteins([20, 30, 40, 50])}
    files = []
    for name, ids, end in (("a", "012", "\n"), ("b", "12", "\n\n"), ("c", "3", "\n")):
        files.append(tmp_path / f"{name}.fasta")
        text = "\n".join(f">p{n}\n{proteins[f'p{n}']}" for n in ids)
        files[-1].write_text(text + end)
    a, b, c = (pf.analyze(bert, file) for file in files)
    with pytest.raises(ResultError, match=r"result 2 .* same 2 protein\(s\).* of 2 in result 2"):
        pf.merge([a, b])
    both = pf.merge([a, c])
    with pytest.raises(ResultError, match=r"would count twice.*--allow-overlap"):
        pf.merge([both, b])
    assert pf.merge([a, b], allow_overlap=True).analysed == 5
    renamed = [dataclasses.replace(p, id=f"q{n}") for n, p in enumerate(pf.load_proteins(files[0]))]
    assert pf.merge([a, pf.analyze(bert, renamed)]).analysed == 6


def test_different_proteins_of_one_file_merge():
    """Their digests tell them apart, so the file's own says nothing."""
    first = _with_digests(1, [1, 2, 3])
    second = _with_digests(1, [4, 5, 6])
    assert pf.merge([first, second]).analysed == 6
    second.protein_digests = second.protein_digests[:2]  # one of them is not told
    with pytest.raises(ResultError, match=r"1\.fasta.*would count twice"):
        pf.merge([first, second])


def test_digests_are_united_whatever_the_order():
    parts = [_with_digests(1, [9, 2, 4]), _with_digests(2, [1, 2**64 - 1, 7]), empty_result()]
    expected = [1, 2, 4, 7, 9, 2**64 - 1]
    for a, b, c in itertools.permutations(parts):
        left, right = pf.merge([pf.merge([a, b]), c]), pf.merge([a, pf.merge([b, c])])
        assert left.equals(right) and left.protein_digests.tolist() == expected
    again = pf.merge([parts[0], parts[0]], allow_overlap=True)
    assert again.protein_digests.tolist() == [2, 4, 9] and again.analysed == 6


def test_a_note_that_a_property_is_unknown_goes_where_it_is_known():
    known, unknown = random_result(1), random_result(2)
    for array in (unknown.totals["background_den"].hi, unknown.totals["background_den"].lo):
        array[2] = 0
    assert unknown.unknown_properties == ["contact"] and known.unknown_properties == []
    assert unknown_note("contact") in unknown.notes
    unknown.note("another")
    assert pf.merge([unknown, known]).notes == pf.merge([known, unknown]).notes == ["another"]
    twice = random_result(3)
    twice.totals["background_den"].hi[2] = twice.totals["background_den"].lo[2] = 0
    assert unknown_note("contact") in pf.merge([unknown, twice]).notes
    united = [pf.merge([pf.merge([unknown, known]), twice]), pf.merge([unknown, known, twice])]
    assert united[0].notes == united[1].notes == ["another"]
