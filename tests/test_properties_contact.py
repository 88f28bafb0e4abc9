"""Contact maps of the compiled search against the definition, pair by pair in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provis_fast.errors import ArgumentError
from provis_fast.properties import Contact, encode_protein
from provis_fast.properties.batch import background_of
from provis_fast.properties.pairs import PairLayout, pack_rows
from provis_fast.proteins import Protein


def protein_of(ca: np.ndarray, cb: np.ndarray | None = None) -> Protein:
    return Protein("p", "A" * len(ca), ca=ca, cb=cb)


def definition(xyz: np.ndarray, cutoff: float, separation: int):
    """(set, valid), bool [L, L]."""
    xyz = np.asarray(xyz, np.float32).astype(np.float64)
    n = len(xyz)
    resolved = np.isfinite(xyz).all(axis=1)
    i, j = np.mgrid[:n, :n]
    valid = resolved[i] & resolved[j] & (abs(i - j) >= separation)
    with np.errstate(invalid="ignore"):
        distance = np.sqrt(((xyz[i] - xyz[j]) ** 2).sum(axis=-1))
    return valid & (distance < cutoff), valid


def bits_of(words: np.ndarray, n_tokens: int) -> np.ndarray:
    """Bool [2, n_tokens, n_tokens]."""
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    bits = bits.reshape(2, n_tokens, -1)
    assert not bits[:, :, n_tokens:].any()
    return bits[:, :, :n_tokens].astype(bool)


def check(prop: Contact, xyz: np.ndarray, **named) -> int:
    n = len(xyz)
    protein = protein_of(xyz, named.get("cb"))
    expected = definition(xyz if prop.atom == "CA" else named["cb"], prop.cutoff, prop.separation)
    encoded = encode_protein([prop], protein, n + 3, slice(2, None))
    found = bits_of(encoded.pairs[0], n + 3)
    inner = np.zeros_like(found)
    for part, whole in zip(inner, expected, strict=True):
        part[2 : n + 2, 2 : n + 2] = whole
    np.testing.assert_array_equal(found, inner)
    assert encoded.numerators.tolist() == [expected[0].sum()]
    assert encoded.denominators.tolist() == [expected[1].sum()]
    numerators, denominators = background_of([prop], protein)
    assert (numerators[0], denominators[0]) == (expected[0].sum(), expected[1].sum())
    rows = prop.rows(protein)(0, n)
    np.testing.assert_array_equal(rows[0], expected[0])
    np.testing.assert_array_equal(rows[1], expected[1])
    return int(expected[0].sum())


def walk(rng: np.random.Generator, n: int, step: float = 2.2) -> np.ndarray:
    return np.cumsum(rng.normal(scale=step, size=(n, 3)), axis=0)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 8, 31, 32, 33, 61, 128, 299, 300, 301, 700])
@pytest.mark.parametrize("separation", [0, 1, 6, 10_000])
def test_against_the_definition(n, separation):
    rng = np.random.default_rng(n)
    xyz = walk(rng, n)
    check(Contact(separation=separation), xyz)
    xyz[rng.random(n) < 0.2] = np.nan
    check(Contact(separation=separation, cutoff=12.5), xyz)
    check(Contact(atom="CB", separation=separation), xyz, cb=walk(rng, n))


@pytest.mark.parametrize("n", [60, 400])
def test_distances_of_exactly_the_cutoff(n):
    """On a grid all squares are exact: a distance of 8 is no contact at 8."""
    rng = np.random.default_rng(n)
    grid = rng.integers(-6, 6, size=(n, 3))
    at_cutoff = 0
    for cutoff in (8.0, 5.0, 3.0):
        check(Contact(cutoff=cutoff, separation=1), grid + 100.125)
        i, j = np.mgrid[:n, :n]
        at_cutoff += (((grid[i] - grid[j]) ** 2).sum(-1) == cutoff**2).sum()
    assert at_cutoff > 20
    line = np.zeros((3, 3))
    line[:, 0] = 1000, 1008, 1016
    assert check(Contact(separation=1), line) == 0
    assert check(Contact(separation=1, cutoff=np.nextafter(8, 9)), line) == 4


@pytest.mark.parametrize("n", [20, 500])
def test_absurd_coordinates(n):
    rng = np.random.default_rng(n)
    xyz = walk(rng, n).astype(np.float32)
    xyz[3] = np.inf
    xyz[4, 1] = -np.inf
    xyz[5, 2] = np.nan
    xyz[6] = 3e38
    xyz[7] = -3e38, 3e38, 0
    check(Contact(), xyz)
    assert check(Contact(cutoff=1e300), xyz) > 0
    check(Contact(), np.full((n, 3), np.nan))
    assert check(Contact(), np.full((n, 3), -7.25)) == (n - 6) * (n - 5)
    check(Contact(cutoff=1e-3), xyz)


def test_no_coordinates():
    encoded = encode_protein([Contact()], Protein("p", "A" * 40), 42, slice(1, None))
    assert not encoded.pairs[0].any()
    assert encoded.denominators.tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(0, 60),
    st.integers(0, 20),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_cut_proteins_in_scattered_tokens_are_packed_as_rows_are(
    n, cut, gaps, every, ascending, seed
):
    """The compiled search and the packing of rows, which knows nothing of it, agree."""
    rng = np.random.default_rng(seed)
    xyz = walk(rng, n)
    xyz[rng.random(n) < 0.1] = np.nan
    protein, prop = protein_of(xyz), Contact(separation=int(rng.integers(0, 9)))
    kept = max(1, n - cut)
    tokens = rng.permutation(kept + gaps)[:kept]
    if ascending:
        tokens = np.sort(tokens)
    layout = PairLayout(n if every else kept, tokens, kept + gaps, every)
    found, expected = prop.pack(protein, layout), pack_rows(prop.rows(protein), layout)
    np.testing.assert_array_equal(found.words, expected.words)
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("tokens", [[0, 1, 5], [-1, 0, 1]])
def test_tokens_outside_the_sequence_are_refused(tokens):
    layout = PairLayout(3, np.array(tokens), 5, False)
    with pytest.raises(ArgumentError, match="expected tokens from 0 to 4"):
        Contact().pack(protein_of(np.zeros((3, 3))), layout)


def test_positions_need_not_be_contiguous_in_memory():
    rng = np.random.default_rng(3)
    backbone = rng.normal(scale=6, size=(80, 5, 3)).astype(np.float32)
    whole = Protein("p", "A" * 80, ca=backbone[:, 1], cb=backbone[::-1, 4])
    copied = Protein("p", "A" * 80, ca=backbone[:, 1].copy(), cb=backbone[::-1, 4].copy())
    for atom in ("CA", "CB"):
        one, other = (
            encode_protein([Contact(atom=atom)], p, 80, slice(0, None)) for p in (whole, copied)
        )
        np.testing.assert_array_equal(one.pairs[0], other.pairs[0])


def test_a_subclass_with_rows_of_its_own_is_asked_for_them():
    class Far(Contact):
        def rows(self, protein):
            near = super().rows(protein)
            return lambda begin, end: (
                near(begin, end)[1] & ~near(begin, end)[0],
                near(begin, end)[1],
            )

    protein = protein_of(walk(np.random.default_rng(0), 40))
    near, far = (encode_protein([p], protein, 40, slice(0, None)) for p in (Contact(), Far()))
    assert near.numerators + far.numerators == near.denominators
    assert far.numerators > near.numerators > 0
