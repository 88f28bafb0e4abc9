"""Properties: what they say of a protein, and how that reaches the kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from provis_fast.arguments import check_properties
from provis_fast.errors import ArgumentError, InputError
from provis_fast.kernel_data import UNKNOWN_VALUE
from provis_fast.properties import (
    REGISTRY,
    AminoAcid,
    ClassPair,
    Contact,
    KeyClass,
    KeyValue,
    Pair,
    QueryClass,
    Separation,
    build_batch,
    encode_protein,
    resolve,
)
from provis_fast.properties.batch import background_of
from provis_fast.proteins import Protein
from provis_fast.reference import _pair_facts

#: Labels that features of UniProt's entries give, beside those that structures give as well.
FEATURE_LABELS = (
    *("active_site", "disulfide", "cross_link", "transmembrane", "signal_peptide"),
    *("transit_peptide", "domain", "zinc_finger", "dna_binding", "coiled_coil", "disordered"),
)
LETTERS = "ACDEFGHIKLMNPQRSTVWYX"


def random_protein(rng, n, name="p"):
    """A protein with everything that the built-in properties ask for, some of it unknown."""
    ca = np.cumsum(rng.normal(size=(n, 3)) * 2, axis=0)
    ca[rng.random(n) < 0.1] = np.nan
    binary = ["binding_site", "site_record", "modification", *FEATURE_LABELS]
    labels = {name: rng.integers(-1, 2, n) for name in binary}
    for name_ in ("secondary_structure", "author_secondary_structure"):
        labels[name_] = rng.integers(-1, 4, n)
    values = {"solvent_exposure": rng.integers(0, 64, n) / 64, "plddt": rng.uniform(0, 100, n)}
    for numbers in values.values():
        numbers[rng.random(n) < 0.2] = np.nan
    letters = "".join(rng.choice(list(LETTERS), n))
    return Protein(name, letters, labels=labels, values=values, ca=ca, cb=ca + 1)


def facts(properties, protein):
    """What the kernels' reference reads from the batch: per property (known, classes), [L, L].

    The protein stands between two others, each with special tokens around it.
    """
    others = [random_protein(np.random.default_rng(n), n, str(n)) for n in (3, 40)]
    row = [others[0], protein, others[1]]
    lengths = [len(p) + 2 for p in row]
    mask = np.ones(sum(lengths), dtype=bool)
    ends = np.cumsum(lengths)
    mask[ends - 1] = mask[ends - lengths] = False
    encoded = [
        encode_protein(properties, p, n, slice(1, None)) for p, n in zip(row, lengths, strict=True)
    ]
    batch = build_batch(properties, encoded, len(mask), mask)
    check_properties(batch, 3, len(mask), torch.device("cpu"))
    inner = (slice(1, -1), slice(1, -1))
    found = []
    for prop, (known, classes) in zip(
        properties, _pair_facts(batch, 1, lengths[0], lengths[1]), strict=True
    ):
        known = known.bool()
        if prop.kind not in ("query_class", "key_class", "key_value", "separation"):
            outside = known.clone()
            outside[inner] = False
            assert not outside.any(), f"{prop.name}: special tokens are eligible"
        found.append((known[inner].numpy(), [(c * known)[inner].numpy() for c in classes]))
    return found, encoded[1]


@pytest.mark.parametrize("n", [1, 2, 30, 31, 32, 33, 62, 63, 130])
def test_every_property_against_a_walk_over_all_pairs(n):
    rng = np.random.default_rng(n)
    protein = random_protein(rng, n)
    properties = resolve(list(REGISTRY))
    found, encoded = facts(properties, protein)
    i, j = np.mgrid[:n, :n]
    column = 0
    for p, (prop, (known, classes)) in enumerate(zip(properties, found, strict=True)):
        expected_known, expected = naive(prop, protein, i, j)
        np.testing.assert_array_equal(known, expected_known, err_msg=prop.name)
        assert len(classes) == prop.n_channels == len(prop.classes)
        for c, name in enumerate(prop.classes):
            np.testing.assert_array_equal(classes[c], expected(name), err_msg=f"{prop.name} {name}")
        # The background is the same count over all pairs, or for labels over all residues.
        per = 1 if prop.kind in ("class_pair", "pair", "separation") else n
        totals = [int(c.sum()) // per for c in classes]
        assert encoded.numerators[column : column + prop.n_channels].tolist() == totals
        assert encoded.denominators[p] == known.sum() // per
        column += prop.n_channels
    numerators, denominators = background_of(properties, protein)
    np.testing.assert_array_equal(numerators, encoded.numerators)
    np.testing.assert_array_equal(denominators, encoded.denominators)


def naive(prop, protein, i, j):
    """(known, function of the class name) straight from the definitions."""
    letters = np.array(list(protein.sequence))
    standard = np.isin(letters, list("ACDEFGHIKLMNPQRSTVWY"))
    classes = np.where(standard, letters, "other")
    everywhere = np.ones(i.shape, dtype=bool)
    if prop.name == "amino_acid":
        return everywhere, lambda name: classes[j] == name
    if prop.name == "amino_acid_query":
        return everywhere, lambda name: classes[i] == name
    if prop.name == "amino_acid_pair":
        pair = np.char.add(np.char.add(classes[i], ">"), classes[j])
        return everywhere, lambda name: pair == name
    if prop.name in protein.values:
        known = ~np.isnan(protein.values[prop.name])
        fixed = np.rint(np.nan_to_num(protein.values[prop.name]) * 65536).astype(np.int64)
        return known[j], lambda name: fixed[j] * known[j]
    if prop.name == "buried":
        exposure = protein.values["solvent_exposure"]
        return ~np.isnan(exposure)[j], lambda name: (exposure < 0.25)[j]
    if prop.kind == "key_value":
        table = {"hydrophobicity": {"I": 4.5, "R": -4.5}, "charge": {"K": 1, "D": -1, "H": 0}}
        values = prop.encode(protein)
        for letter, value in table.get(prop.name, {"G": 60.1}).items():
            assert (values[letters == letter] == value).all()
        assert (np.isnan(values) == ~standard).all()
        fixed = np.where(standard, np.rint(np.nan_to_num(values) * 65536), 0).astype(np.int64)
        return standard[j], lambda name: fixed[j]
    if prop.kind == "pair":
        far = np.abs(i - j) >= 6
        ca = protein.ca.astype(np.float64)
        distance = np.linalg.norm(ca[i] - ca[j], axis=-1)
        known = far & ~np.isnan(distance)
        return known, lambda name: known & (distance < 8)
    if prop.kind == "separation":
        bins = {str(k): (k, k) for k in range(6)} | {"6-11": (6, 11), "12-23": (12, 23)}
        bins[">=24"] = (24, 10**9)
        gap = np.abs(i - j)
        return everywhere, lambda name: (gap >= bins[name][0]) & (gap <= bins[name][1])
    at = i if prop.kind == "query_class" else j
    labels = protein.labels[prop.name.removesuffix("_query")][at]
    if len(prop.classes) == 1:
        return labels >= 0, lambda name: labels == 1
    number = {name: c for c, name in enumerate(("helix", "strand", "turn", "other"))}
    return labels >= 0, lambda name: labels == number[name]


def test_a_protein_without_labels_is_unknown_throughout():
    protein = Protein("p", "ACDEF")
    for name in ("secondary_structure", "binding_site", "contact"):
        (prop,) = resolve(name)
        found, encoded = facts([prop], protein)
        assert not found[0][0].any()
        assert encoded.denominators.tolist() == [0]
        assert not encoded.numerators.any()


def test_contact_options_and_the_cutoff_itself():
    ca = np.zeros((4, 3))
    ca[:, 0] = [0, 4, 8, 16]
    protein = Protein("p", "GGGG", ca=ca, cb=ca * 2)
    is_set, valid = Contact(separation=2).encode(protein)
    assert valid.sum() == 6
    assert not is_set.any()  # 8 Angstrom is no contact
    assert Contact(separation=2, cutoff=8.001).encode(protein)[0].sum() == 2
    assert Contact(separation=1, atom="CB", cutoff=8.5).encode(protein)[0].sum() == 4
    assert Contact(separation=0).encode(protein)[1].all()
    for bad in ({"atom": "N"}, {"cutoff": 0}, {"cutoff": float("nan")}, {"separation": -1}):
        with pytest.raises(ArgumentError, match=next(iter(bad))):
            Contact(**bad)


def test_long_contact_map_is_never_whole_in_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    protein = Protein("long", "A" * 5000, ca=np.cumsum(rng.normal(size=(5000, 3)), axis=0))
    tracemalloc.start()
    encoded = encode_protein(resolve("contact"), protein, 5002, slice(1, None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    bitmaps = encoded.pairs[0].nbytes
    assert bitmaps == 2 * 5002 * 157 * 4
    assert peak < bitmaps + 4e6


def test_properties_of_the_users_own():
    protein = Protein("p", "ACDEFG", values={"plddt": np.arange(6.0)})
    yes_no = np.array([1, 0, -1, 1, 0, 0])
    grid = np.arange(36).reshape(6, 6) % 3 - 1
    properties = [
        KeyClass("site", ["site"], {"p": yes_no}),
        QueryClass("domain", ["a", "b"], lambda protein: np.array([0, 0, 1, 1, -1, -1])),
        ClassPair("pairs", ["a", "b"], {"p": [0, 0, 1, 1, -1, -1]}),
        KeyValue("score", {"p": np.array([0.5, np.nan, -2, 1 << 20, 0, 1e-9])}),
        KeyValue("plddt"),
        Pair("touch", {"p": grid}),
        Pair("touch_too", lambda protein: (grid == 1, grid >= 0)),
        Pair("nothing", {"p": None}),
        Separation([0, 4], name="near"),
    ]
    encoded = encode_protein(properties, protein, 8, slice(1, None))
    assert encoded.labels[0].tolist() == [0, 1, -1, 0, 1, 1]
    assert encoded.values[0].tolist() == [32768, UNKNOWN_VALUE, -131072, 1 << 36, 0, 0]
    np.testing.assert_array_equal(encoded.pairs[0], encoded.pairs[1])
    assert not encoded.pairs[2].any()
    assert properties[2].classes == ("a>a", "a>b", "b>a", "b>b")
    assert properties[-1].classes == ("0-3", ">=4")
    assert encoded.denominators.tolist() == [5, 4, 16, 5, 6, 24, 24, 0, 36]
    starts = np.cumsum([0, *(prop.n_channels for prop in properties)])
    assert encoded.numerators[: starts[3]].tolist() == [2, 2, 2, 4, 4, 4, 4]
    assert encoded.numerators[starts[5] :].tolist() == [12, 12, 0, 30, 6]


@pytest.mark.parametrize(
    ("prop", "message"),
    [
        (KeyClass("k", ["a"], {"p": [1, 0]}), "shape [3], got shape [2]"),
        (KeyClass("k", ["a"], {"p": [1, 0, 2]}), "-1..1 (1 yes, 0 no, -1 unknown), got 2 at"),
        (KeyClass("k", ["a", "b"], {"p": [1, 0, 2]}), "got 2 at residue 2"),
        (KeyClass("k", ["a", "b"], {"p": [1, -2, 0]}), "got -2 at residue 1"),
        (KeyClass("k", ["a", "b"], {"p": [1.0, 0, 0]}), "integer labels, got float64"),
        (KeyClass("k", ["a"], {"q": [1, 0, 0]}), "no entry for this id"),
        (QueryClass("k", ["a"], lambda p: [[1, 0, 0]]), "got shape [1, 3]"),
        (KeyValue("k", {"p": [0.0, 1.0]}), "one value per residue"),
        (KeyValue("k", {"p": np.full(3, 1e-5)}), "rounded to multiples of 2**-16"),
        (KeyValue("k", {"p": [0.0, 1.0, np.inf]}), "at most 2**20, got inf at residue 2"),
        (KeyValue("k", {"p": [0.0, -1048577, 0]}), "got -1.04858e+06 at residue 1"),
        (KeyValue("k", {"p": [1j, 0, 0]}), "real numbers, got complex128"),
        (Pair("k", {"p": np.ones((3, 2), bool)}), "pair of residues, shape [3, 3]"),
        (Pair("k", {"p": np.ones((3, 3))}), "bool or integers"),
        (Pair("k", {"p": np.full((3, 3), 7)}), "1, 0 or -1, got 7..7"),
        (Pair("k", {"p": (np.ones((3, 3), bool),)}), "a tuple of 1"),
        (Pair("k", {"p": (np.ones((3, 3), bool), np.ones((3, 3)))}), "got float64"),
    ],
)
def test_bad_data_name_property_protein_and_what_came(prop, message):
    with pytest.raises(InputError) as caught:
        encode_protein([prop], Protein("p", "ACD"), 5, slice(1, None))
    assert message in str(caught.value)
    assert "'k'" in str(caught.value) and "'p'" in str(caught.value)


def test_values_whose_sums_would_leave_64_bits_are_refused():
    """Attention-weighted sums have 63 bits: 32 of them for fractions, 31 for residues x value."""
    protein = Protein("p", "A" * 2100)
    values = np.full(2100, -(2.0**20))
    values[7] = np.nan
    large = KeyValue("large", {"p": values})
    with pytest.raises(InputError, match=r"'large', protein 'p'.*2,000,000,000.*got 2100 x 1.048"):
        encode_protein([large], protein, 2102, slice(1, None))
    cut = encode_protein([large], protein, 1902, slice(1, None), n_residues=1900)
    assert cut.values[0, 0] == -(1 << 36)
    rescaled = KeyValue("rescaled", {"p": values / 2})
    assert encode_protein([rescaled], protein, 2102, slice(1, None)).denominators[0] == 2099


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resolve("amino_acids"), "did you mean 'amino_acid'"),
        (lambda: resolve(["contact", Contact(cutoff=6)]), "'contact' twice"),
        (lambda: resolve([Separation(), Separation([0, 3], name="s")]), "at most one separation"),
        (lambda: resolve([3]), "names or properties, got int"),
        (lambda: Separation([1, 2]), "ascending from 0"),
        (lambda: Separation([0, 2, 2]), "ascending from 0"),
        (lambda: Separation(["a"]), "ascending from 0"),
        (lambda: KeyClass("two words", ["a"], {}), "name: expected letters"),
        (lambda: KeyClass("k", [], {}), "1 to 16384 classes, got 0"),
        (lambda: KeyClass("k", ["a", "a"], {}), "distinct names, got ['a']"),
        (lambda: KeyClass("k", "ab", {}), "a sequence of class names"),
        (lambda: KeyClass("k", ["a"], 3), "labels of property 'k': expected a mapping"),
        (lambda: Pair("k", 3), "maps of property 'k'"),
    ],
)
def test_bad_definitions(make, message):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert message in str(caught.value)


def test_options_tell_definitions_apart():
    assert Contact().options() == {"atom": "CA", "cutoff": 8.0, "separation": 6}
    assert Separation([0, 2]).options() == {"edges": [0, 2]}
    for edges in (range(256), (0, 1 << 31)):
        with pytest.raises(ArgumentError, match="edges: expected at most 255 bins, the last from"):
            Separation(edges)
    assert AminoAcid().options() != AminoAcid(raw=True).options()
    assert "cutoff=6.0" in repr(Contact(cutoff=6))


def test_raw_letters_are_classes_of_their_own():
    labels = AminoAcid(raw=True).encode(Protein("p", "AXBZUOJ"))
    names = AminoAcid(raw=True).classes
    assert [names[c] for c in labels[:6]] == list("AXBZUO")
    assert labels[6] == len(names)  # J: known, in no class


def test_cut_proteins_are_cut_in_every_property():
    rng = np.random.default_rng(5)
    protein = random_protein(rng, 90)
    short = Protein(
        "p",
        protein.sequence[:40],
        labels={name: labels[:40] for name, labels in protein.labels.items()},
        values={name: values[:40] for name, values in protein.values.items()},
        ca=protein.ca[:40],
        cb=protein.cb[:40],
    )
    properties = resolve(list(REGISTRY))
    cut = encode_protein(properties, protein, 42, slice(1, None), n_residues=40)
    whole = encode_protein(properties, short, 42, slice(1, None))
    for a, b in zip(cut, whole, strict=True):
        for x, y in zip(*((v if isinstance(v, tuple) else (v,)) for v in (a, b)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_every_pair_known_counts_unknown_as_negative():
    rng = np.random.default_rng(6)
    protein = random_protein(rng, 50)
    properties = resolve(["binding_site", "secondary_structure", "contact", "amino_acid_pair"])
    known = encode_protein(properties, protein, 52, slice(1, None))
    every = encode_protein(
        properties, protein, 32, slice(1, None), n_residues=30, every_pair_known=True
    )
    assert (every.labels >= 0).all()
    assert (every.labels[0] == 0).sum() == (protein.labels["binding_site"][:30] == 1).sum()
    bits = np.unpackbits(every.pairs[0].view(np.uint8), bitorder="little").reshape(2, 32, 32)
    assert bits[1, 1:-1, 1:-1].all()
    assert bits[1].sum() == 900
    np.testing.assert_array_equal(
        bits[0, 1:-1, 1:-1], Contact().encode(protein)[0][:30, :30].astype(np.uint8)
    )
    # The background is that of the whole protein and of its known residues.
    np.testing.assert_array_equal(every.numerators, known.numerators)
    np.testing.assert_array_equal(every.denominators, known.denominators)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(0, 5), st.integers(0, 40), st.integers(0, 2**31))
def test_scattered_residues(n, before, gaps, seed):
    """Residues need not stand together: a tap may be told any mask."""
    rng = np.random.default_rng(seed)
    protein = random_protein(rng, n)
    n_tokens = before + n + gaps
    places = np.sort(rng.choice(np.arange(before, n_tokens), n, replace=False))
    properties = resolve(["contact", "amino_acid"])
    encoded = encode_protein(properties, protein, n_tokens, places)
    batch = build_batch(properties, [encoded], n_tokens, places)
    (known, (is_set,)), (_, letters) = _pair_facts(batch, 0, 0, n_tokens)
    expected_set, expected_valid = Contact().encode(protein)
    np.testing.assert_array_equal(known.numpy()[np.ix_(places, places)], expected_valid)
    np.testing.assert_array_equal(is_set.numpy()[np.ix_(places, places)], expected_set)
    assert known.sum() == expected_valid.sum()
    assert sum(int(c[0].sum()) for c in letters) == n


def test_batch_of_no_property():
    encoded = [encode_protein([], Protein("p", "ACD"), 5, slice(1, None))]
    batch = build_batch([], encoded, 5, np.arange(1, 4))
    check_properties(batch, 1, 5, torch.device("cpu"))
    assert batch.channels == 1
    assert batch.labels.dtype == torch.int16
