"""Replicates of whole analyses against plain loops over proteins and residue pairs."""

from __future__ import annotations

import analysis_cases
import numpy as np
import pytest
import resampling_cases as cases
import torch

import provis_fast as pf
from provis_fast.per_protein.reading import read_per_protein

SHIFTED = [p if isinstance(p, str) else p.name for p in cases.PROPERTIES if p != "separation"]
B, M = cases.REPLICATES["bootstrap"], cases.REPLICATES["permutations"]


@pytest.fixture(scope="module")
def result(bert, tmp_path_factory):
    """An analysis with replicates, and its counts of every protein."""
    folder = tmp_path_factory.mktemp("tables") / "per_protein"
    found = cases.analysed(bert, per_protein="counts", per_protein_folder=folder)
    return found, read_per_protein(folder, "counts")


def test_what_is_observed_is_what_it_is_without_replicates(bert, result):
    alone = cases.analysed(bert, bootstrap=0, permutations=0)
    observed, _ = result
    assert (observed.n_bootstrap, observed.n_permutations) == (B, M)
    assert (alone.n_bootstrap, alone.n_permutations) == (0, 0)
    names = [name for name, _ in alone.totals.items()]
    for name in names:
        assert observed.totals[name].equals(alone.totals[name]), name
    assert observed.to_pandas().equals(alone.to_pandas()) and observed.arcs.sum() > 1000


def test_bootstrap_is_a_weighted_sum_over_proteins(result):
    """Each protein is analysed in the same packs; its counts come from the tables."""
    found, table = result
    by = ["protein", "property", "class", "statistic", "threshold"]
    table = table.to_pandas().sort_values(["layer", "head"]).fillna({"threshold": 0})
    groups = dict(list(table.groupby(by, observed=True)))
    shape = found.arcs.shape[1:]

    def numbers(column, *of):
        return groups[of][column].to_numpy().reshape(shape)

    weights = {
        p.id: [cases.weight(cases.digest_of(p), r) for r in range(B)] for p in cases.proteins()
    }
    assert list(found.bootstrap) == [spec.name for spec in found.properties]
    for spec in found.properties:
        replicates = found.bootstrap[spec.name]
        assert replicates.eligible.shape == (B, 2, *shape)
        assert replicates.counts.shape == (B, 2, *shape, len(spec.classes))
        for r in range(B):
            eligible, counts = np.zeros((2, *shape)), np.zeros((2, *shape, len(spec.classes)))
            known, sums = np.zeros(shape), np.zeros((*shape, len(spec.classes)))
            for protein, drawn in weights.items():
                for c, name in enumerate(spec.classes):
                    of = (protein, spec.name, name)
                    for t, theta in enumerate((0.7, 0.3)):
                        counts[t, ..., c] += drawn[r] * numbers("count", *of, "arcs", theta)
                    sums[..., c] += drawn[r] * numbers("count", *of, "mass", 0)
                for t, theta in enumerate((0.7, 0.3)):
                    eligible[t] += drawn[r] * numbers("eligible", *of, "arcs", theta)
                known += drawn[r] * numbers("eligible", *of, "mass", 0)
            np.testing.assert_array_equal(replicates.eligible[r], eligible)
            np.testing.assert_array_equal(replicates.counts[r], counts)
            np.testing.assert_array_equal(replicates.mass_known[r], known)
            np.testing.assert_array_equal(replicates.mass_sums[r], sums)


def test_background_of_the_bootstrap(result):
    found, _ = result
    proteins = cases.proteins()
    for spec in found.properties:
        (prop,) = [p for p in pf.properties.resolve(cases.PROPERTIES) if p.name == spec.name]
        parts = [prop.background(prop.encode(protein)) for protein in proteins]
        expected = np.full((B, len(spec.classes)), np.nan)
        for r in range(B):
            w = [cases.weight(cases.digest_of(p), r) for p in proteins]
            known = sum(a * b.denominator for a, b in zip(w, parts, strict=True))
            scale = 65536 if spec.is_value else 1
            if known:
                numerators = sum(a * b.numerators for a, b in zip(w, parts, strict=True))
                expected[r] = numerators / scale / known
        np.testing.assert_array_equal(found.bootstrap[spec.name].background, expected)


def test_permutations_are_the_counts_of_rolled_labels(bert, result):
    """Bit by bit, masses too: each permutation once more, as properties of the user's own."""
    found, _ = result
    assert list(found.permutations) == SHIFTED
    proteins = cases.proteins()
    resolved = {p.name: p for p in pf.properties.resolve(cases.PROPERTIES)}
    for m in range(M):

        def shift(protein, m=m):
            return cases.shift(cases.digest_of(protein), len(protein), m)

        def rolled(prop, shift=shift):
            def labels(protein):
                given = prop.labels(protein)
                return None if given is None else np.roll(given, shift(protein))

            def numbers(protein):
                return np.roll(prop.values(protein), shift(protein))

            def maps(protein):
                both = (np.roll(x, (shift(protein),) * 2, (0, 1)) for x in prop.encode(protein))
                return tuple(both)

            if prop.kind == "key_value":
                return pf.KeyValue(prop.name, numbers)
            if prop.kind == "pair":
                return pf.Pair(prop.name, maps)
            if prop.kind == "class_pair":
                return pf.ClassPair(prop.name, prop.residue_classes, labels)
            made = {"key_class": pf.KeyClass, "query_class": pf.QueryClass}[prop.kind]
            return made(prop.name, prop.classes, labels)

        properties = [rolled(resolved[name]) for name in SHIFTED]
        expected = cases.analysed(
            bert, proteins, properties=properties, bootstrap=0, permutations=0
        )
        for name in SHIFTED:
            replicates = found.permutations[name]
            counts = expected.sums if resolved[name].kind == "key_value" else expected.counts
            np.testing.assert_array_equal(replicates.eligible[m], expected.eligible[name])
            np.testing.assert_array_equal(replicates.counts[m], counts[name])
            np.testing.assert_array_equal(replicates.mass_known[m], expected.mass_known[name])
            np.testing.assert_array_equal(replicates.mass_sums[m], expected.mass_sums[name])
            assert replicates.background is None
        changed = [
            spec.name
            for spec in found.properties
            if spec.is_shifted
            and not np.array_equal(
                found.permutations[spec.name].counts[m],
                (found.sums if spec.is_value else found.counts)[spec.name],
            )
        ]
        assert changed == SHIFTED
    assert any("1 protein(s) of a single residue" in note for note in found.notes)


@pytest.mark.parametrize("family", ["bert", "esm"])
def test_permutations_from_the_attention_of_another_source(family, request):
    model = request.getfixturevalue(family)
    proteins = cases.proteins([30, 64, 17, 90], seed=3)
    names = ("secondary_structure", "secondary_structure_query", "contact")
    found = pf.analyze(model, proteins, names, permutations=3)
    expected, near = {name: 0 for name in names}, 0
    for protein in proteins:
        ids = torch.from_numpy(model.tokens.encode(protein.sequence))
        attention = analysis_cases.float64_attention(model.module, ids)[:, :, 1:-1, 1:-1]
        near += int((np.abs(attention - 0.3) <= 1e-5).sum())
        arcs = attention >= 0.3
        i, j = np.mgrid[: len(protein), : len(protein)]
        distance = np.linalg.norm(protein.ca[i] - protein.ca[j], axis=-1)
        valid = (np.abs(i - j) >= 6) & ~np.isnan(distance)
        for m in range(3):
            s = cases.shift(cases.digest_of(protein), len(protein), m)
            labels = np.roll(protein.labels["secondary_structure"], s)
            known, close = (np.roll(x, (s, s), (0, 1)) for x in (valid, valid & (distance < 8)))
            for name, masks in (
                ("secondary_structure", [labels[j] >= 0, *(labels[j] == c for c in range(4))]),
                (
                    "secondary_structure_query",
                    [labels[i] >= 0, *(labels[i] == c for c in range(4))],
                ),
                ("contact", [known, close]),
            ):
                total = np.zeros((3, *attention.shape[:2], len(masks)), dtype=int)
                total[m] = np.stack([(arcs & mask).sum((-1, -2)) for mask in masks], axis=-1)
                expected[name] = expected[name] + total
    assert near == 0, "choose other proteins: an arc is too close to call"
    for name in names:
        np.testing.assert_array_equal(found.permutations[name].eligible, expected[name][..., 0])
        np.testing.assert_array_equal(found.permutations[name].counts, expected[name][..., 1:])
    assert found.permutations["contact"].counts.sum() > 50


def test_labels_that_are_the_same_everywhere_do_not_move(bert):
    whole = [
        pf.KeyClass("all", ("a", "b"), lambda p: np.full(len(p), len(p) % 2)),
        pf.KeyValue("length", lambda p: np.full(len(p), float(len(p)))),
        pf.Pair("any", lambda p: np.ones((len(p), len(p)), dtype=bool)),
    ]
    found = pf.analyze(bert, cases.proteins(), whole, weighting="both", permutations=4)
    assert found.arcs.sum() > 1000
    for spec in found.properties:
        replicates = found.permutations[spec.name]
        counts = found.sums if spec.is_value else found.counts
        for m in range(4):
            np.testing.assert_array_equal(replicates.eligible[m], found.eligible[spec.name])
            np.testing.assert_array_equal(replicates.counts[m], counts[spec.name])
            np.testing.assert_array_equal(replicates.mass_sums[m], found.mass_sums[spec.name])


def test_shifted_contacts_are_as_many(bert):
    """Where every pair is an arc, those in contact are as many as in the background."""
    proteins = cases.proteins()
    found = pf.analyze(bert, proteins, "contact", 1e-12, permutations=6)
    assert found.arcs.min() == sum(len(p) ** 2 for p in proteins)
    contact = pf.properties.resolve("contact")[0]
    parts = [contact.background(contact.encode(protein)) for protein in proteins]
    assert (found.permutations["contact"].eligible == sum(b.denominator for b in parts)).all()
    assert (found.permutations["contact"].counts == sum(b.numerators for b in parts)).all()


def test_proteins_cut_short_are_shifted_within_what_is_left(bert):
    proteins = cases.proteins([100, 60])
    cut = [pf.Protein(p.id, p.sequence, labels=p.labels) for p in proteins]
    found = pf.analyze(bert, proteins, "secondary_structure", max_length=50, permutations=4)

    def rolled(m):
        def labels(protein):
            kept = protein.labels["secondary_structure"][:50]
            moved = np.roll(kept, cases.shift(cases.digest_of(protein), 50, m))
            return np.append(moved, np.full(len(protein) - 50, -1))

        return pf.KeyClass("rolled", list("abcd"), labels)

    for m in range(4):
        expected = pf.analyze(bert, cut, rolled(m), max_length=50)
        replicates = found.permutations["secondary_structure"]
        np.testing.assert_array_equal(replicates.counts[m], expected.counts["rolled"])
        np.testing.assert_array_equal(replicates.eligible[m], expected.eligible["rolled"])


@pytest.mark.parametrize("weighting", ["arcs", "attention"])
def test_what_a_weighting_leaves_out_is_none(bert, weighting):
    options = dict(weighting=weighting, bootstrap=3, permutations=2, layers=[1])
    found = pf.analyze(bert, cases.proteins(), "secondary_structure", **options)
    for n, mapping in ((3, found.bootstrap), (2, found.permutations)):
        replicates = mapping["secondary_structure"]
        held = [name for name in replicates._fields if getattr(replicates, name) is not None]
        kinds = {"arcs": ["eligible", "counts"], "attention": ["mass_known", "mass_sums"]}
        assert [name for name in held if name != "background"] == kinds[weighting]
        assert getattr(replicates, kinds[weighting][1]).shape == (n, 1, 4, 4)


def test_compat_shifts_what_it_counts(bert):
    """Unknown counts as negative there: every arc stays eligible, whatever is shifted."""
    proteins = cases.proteins()
    names = ("secondary_structure", "contact", "amino_acid")
    found = pf.analyze(bert, proteins, names, compat="provis", **cases.REPLICATES)
    for name in names:
        assert (found.permutations[name].eligible == found.arcs).all()
        np.testing.assert_array_equal(
            found.bootstrap[name].eligible, found.bootstrap["amino_acid"].eligible
        )
    labels = [p.labels["secondary_structure"] for p in proteins]
    r = 2
    w = [cases.weight(cases.digest_of(p), r) for p in proteins]
    known = sum(a * int((b >= 0).sum()) for a, b in zip(w, labels, strict=True))
    helices = sum(a * int((b == 0).sum()) for a, b in zip(w, labels, strict=True))
    assert found.bootstrap["secondary_structure"].background[r, 0] == helices / known
    corpus = cases.proteins([50, 70], seed=8)
    other = pf.analyze(
        bert, proteins, names, compat="provis", background=corpus, **cases.REPLICATES
    )
    for name in names:
        np.testing.assert_array_equal(
            other.bootstrap[name].background, np.tile(other.background[name], (B, 1))
        )
        np.testing.assert_array_equal(other.bootstrap[name].counts, found.bootstrap[name].counts)
