"""Results: public arrays, moments and merging against plain Python arithmetic."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_cases import PROPERTIES, Batch, empty_result, random_result

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.merging import merge
from provis_fast.statistics import HeadStatistics, PropertySpec

# Channels: arcs; kind: eligible, A, B, C; scale: eligible, sum; contact: eligible, set


def test_arrays_are_sums_over_proteins():
    batch, result = Batch.random(1), empty_result()
    batch.add_to(result)
    arcs = batch.arc_counts.sum(axis=0)  # [thetas, layers, heads, K]
    assert np.array_equal(result.arcs, arcs[..., 0])
    assert np.array_equal(result.eligible["kind"], arcs[..., 1])
    assert np.array_equal(result.counts["kind"], arcs[..., 2:5])
    assert np.array_equal(result.sums["scale"], arcs[..., 6:7] / 2**16)
    assert np.array_equal(result.eligible["contact"], arcs[..., 7])
    assert np.array_equal(result.proportion["contact"][..., 0], arcs[..., 8] / arcs[..., 7])
    mass = batch.mass.sum(axis=0) / 2**32
    assert np.array_equal(result.mass, mass[..., 0])
    assert np.array_equal(result.mass_known["kind"], mass[..., 1])
    assert np.array_equal(result.mass_sums["contact"], mass[..., 8:9])
    assert np.array_equal(result.mass_proportion["kind"], mass[..., 2:5] / mass[..., 1:2])
    assert np.array_equal(result.entropy, batch.entropy.sum(axis=0) / 2**32 / 300)
    numerators, denominators = batch.background_num.sum(axis=0), batch.background_den.sum(axis=0)
    assert np.array_equal(result.background["kind"], numerators[:3] / denominators[0])
    assert result.background["scale"] == numerators[3] / 2**16 / denominators[1]
    assert (result.analysed, result.residues) == (3, 300)


def test_theta_axis_only_for_a_sequence():
    assert random_result(1).arcs.shape == (2, 2, 3)
    for scalar, shape in ((True, (2, 3)), (False, (1, 2, 3))):
        result = empty_result(thresholds=(0.3,), scalar_threshold=scalar)
        assert result.arcs.shape == result.eligible["kind"].shape == shape
        assert result.proportion["kind"].shape == (*shape, 3)
        assert result.moments["kind"].nn.shape == shape


def test_proportion_is_undefined_below_min_arcs():
    result = empty_result(min_arcs=100)
    batch = Batch.random(2)
    batch.arc_counts[..., 1] = 0
    batch.arc_counts[0, :, 0, 0, 1] = 99
    batch.arc_counts[0, :, 0, 1, 1] = 100
    batch.add_to(result)
    assert np.isnan(result.proportion["kind"][:, 0, 0]).all()
    assert np.isfinite(result.proportion["kind"][:, 0, 1]).all()
    never = empty_result(min_arcs=0)
    assert np.isnan(never.proportion["kind"]).all() and np.isnan(never.background["kind"]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), largest=st.sampled_from([3, 10**4, 2**33]))
def test_moments_equal_plain_arithmetic(seed, largest):
    batch, result = Batch.random(seed, largest=largest), empty_result()
    batch.add_to(result)
    theta, layer, head = seed % 2, seed // 2 % 2, seed % 3
    owner, first_channel = (
        {"kind": 0, "scale": 1, "contact": 2},
        {"kind": 1, "scale": 5, "contact": 7},
    )
    columns = {"kind": [0, 1, 2], "scale": [3], "contact": [4]}
    for spec in PROPERTIES:
        p, unit = owner[spec.name], 2**16 if spec.is_value else 1
        found = result.moments[spec.name]
        known = [int(n) for n in batch.arc_counts[:, theta, layer, head, first_channel[spec.name]]]
        assert found.proteins[theta, layer, head] == sum(n > 0 for n in known)
        assert found.nn[theta, layer, head] == _float(sum(n * n for n in known))
        for k, column in enumerate(columns[spec.name]):
            channel = first_channel[spec.name] + 1 + k
            y = [Fraction(int(c), unit) for c in batch.arc_counts[:, theta, layer, head, channel]]
            shares = [
                float(Fraction(int(a), unit)) / int(b) if b else 0.0
                for a, b in zip(
                    batch.background_num[:, column], batch.background_den[:, p], strict=True
                )
            ]
            # n b is rounded once, to 2**-20; all that follows is exact.
            nb = [
                Fraction(round(n * (share * 2**20)), 2**20)
                for n, share in zip(known, shares, strict=True)
            ]
            at = (theta, layer, head, k)
            assert found.yy[at] == _float(sum(a * a for a in y))
            assert found.ny[at] == _float(sum(a * b for a, b in zip(known, y, strict=True)))
            assert found.nb[at] == _float(sum(nb))
            assert found.nbnb[at] == _float(sum(a * a for a in nb))
            assert found.ynb[at] == _float(sum(a * b for a, b in zip(y, nb, strict=True)))
            assert found.nnb[at] == _float(sum(a * b for a, b in zip(known, nb, strict=True)))


def _float(value: Fraction | int) -> float:
    return Fraction(value).numerator / Fraction(value).denominator


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 7), max_size=3), data=st.data())
def test_sharding_and_order_do_not_matter(seed, cuts, data):
    batch, whole = Batch.random(seed, n_proteins=7, largest=2**33), empty_result()
    batch.add_to(whole)
    edges = [0, *sorted(cuts), 7]
    parts = []
    for begin, end in data.draw(st.permutations(list(itertools.pairwise(edges)))):
        parts.append(empty_result())
        batch.part(slice(begin, end)).add_to(parts[-1])
    assert merge(parts).equals(whole)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_merge_is_associative_to_the_manifest(seed):
    a, b, c = (random_result(seed + k) for k in range(3))
    for number, result in enumerate((a, b, c)):
        result.note(f"note {number % 2}")
        result.note(_aside(f"p{number}", "failed"))
        result.run = [{"host": str(number)}]
        result.versions = {"torch": (str(number % 2),)}
    left, right = merge([merge([a, b]), c]), merge([a, merge([b, c])])
    assert left.equals(right) and left.equals(merge([a, b, c])) and left.run == right.run
    assert [entry["id"] for entry in left.set_aside] == ["p0", "p1", "p2"]
    assert left.notes == ["note 0", "note 1"] and left.versions == {"torch": ("0", "1")}
    assert merge([c, a, b]).totals.equals(left.totals)
    assert left.analysed == a.analysed + b.analysed + c.analysed


def test_merge_leaves_its_arguments_alone():
    a, b = random_result(1), random_result(2)
    before = a.copy()
    merge([a, b])
    assert a.equals(before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": {"digest": "d2", "dtype": "float32"}}, "model: d1 in result 1, d2 in result 2"),
        ({"model": {"digest": "d1", "dtype": "bfloat16"}}, "dtype: float32"),
        ({"thresholds": (0.1, 0.5)}, r"threshold: \[0.1, 0.3\] in result 1, \[0.1, 0.5\]"),
        ({"layers": (1, 2)}, r"layers \(from 1\): 2,4 in result 1, 2,3"),
        ({"min_arcs": 50}, "min_arcs: 100 in result 1, 50"),
        ({"compat": "provis"}, "compat: None in result 1, provis"),
        ({"weighting": "arcs"}, "weighting: both in result 1, arcs"),
        ({"entropy": False}, "entropy: True in result 1, False"),
        ({"properties": PROPERTIES[:2]}, "properties: kind,scale,contact in result 1, kind,scale"),
        (
            {"properties": (*PROPERTIES[:2], PropertySpec("contact", "pair", ("contact",)))},
            "property contact, cutoff: 8.0 in result 1, absent in result 2",
        ),
        ({"options": {"max_length": 9}}, "option max_length: absent in result 1, 9"),
    ],
)
def test_merge_names_what_differs(change, named):
    with pytest.raises(ResultError, match=named) as error:
        merge([empty_result(), empty_result(**change)])
    differing = [line for line in str(error.value).splitlines() if line.startswith("  ")]
    assert 1 <= len(differing) <= 3  # and what is equal is not listed


def test_merge_refuses():
    with pytest.raises(ResultError, match="nothing to merge"):
        merge([])
    with pytest.raises(ArgumentError, match="load_result"):
        merge(["a folder"])
    again = random_result(1)
    with pytest.raises(ResultError, match=r"1\.fasta.*would count twice"):
        merge([random_result(2), again, random_result(1)])
    assert merge([again, random_result(1)], allow_overlap=True).analysed == 6
    partial = random_result(3)
    partial.complete = False
    with pytest.raises(ResultError, match=r"result 2 .* interrupted"):
        merge([again, partial])
    assert not merge([again, partial], allow_partial=True).complete


def test_a_bad_batch_changes_nothing():
    result = random_result(1)
    before = result.copy()
    good = Batch.random(2)
    arguments = [good.arc_counts, good.mass, good.entropy, good.background_num, good.background_den]
    for position, wrong in [
        (0, good.arc_counts[:, :1]),
        (0, good.arc_counts.astype(np.int32)),
        (1, None),
        (2, good.entropy[:2]),
        (3, good.background_num[:, :4]),
    ]:
        bad = [*arguments[:position], wrong, *arguments[position + 1 :]]
        with pytest.raises(ArgumentError, match="expected int64"):
            result.add(*bad, 100)
        assert result.equals(before)
    with pytest.raises(ArgumentError, match="mass: this result does not hold it"):
        empty_result(weighting="arcs").add(*arguments, 100)


def test_torch_tensors_are_taken():
    torch = pytest.importorskip("torch")
    batch, result = Batch.random(1), empty_result()
    tensors = [torch.from_numpy(getattr(batch, name)) for name in Batch.__dataclass_fields__]
    result.add(*tensors, 300)
    assert result.totals.equals(random_result(1).totals)


def test_what_is_not_there_is_named():
    result = random_result(1, weighting="arcs", entropy=False)
    for read in (lambda: result.mass, lambda: result.mass_sums["kind"], lambda: result.entropy):
        with pytest.raises(ResultError, match="not part of this result; analyse with"):
            read()
    with pytest.raises(KeyError, match="counts: no property 'scale' here, only kind, contact"):
        _ = result.counts["scale"]
    assert "scale" not in result.counts and list(result.sums) == ["scale"]
    assert random_result(1, weighting="attention").mass.shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": (1, 4)}, "layers: expected different numbers from 0 to 3"),
        ({"layers": (1, 1)}, "layers"),
        ({"layers": ()}, "layers"),
        ({"thresholds": ()}, "thresholds"),
        ({"scalar_threshold": True}, "thresholds: expected one"),
        ({"weighting": "none"}, "weighting"),
        ({"properties": (PROPERTIES[0], PROPERTIES[0])}, "properties: expected every name once"),
    ],
)
def test_bad_arguments_are_named(change, named):
    with pytest.raises(ArgumentError, match=named):
        empty_result(**change)
    with pytest.raises(ArgumentError, match="kind: expected one of"):
        PropertySpec("x", "colour", ("red",))


def test_records_are_accounted_for():
    result = random_result(1)
    result.note(_aside("a", "skipped"))
    result.note(_aside("b", "failed"))
    assert (result.read, result.analysed, result.skipped, result.failed) == (5, 3, 1, 1)
    with pytest.raises(ArgumentError, match="status"):
        result.note(_aside("c", "lost"))


def _aside(name: str, status: str) -> SimpleNamespace:
    return SimpleNamespace(id=name, status=status, reason="because", source="x.fasta", line=None)


def test_to_pandas_is_tidy():
    result = random_result(1)
    table = result.to_pandas()
    # 2 layers x 3 heads x 5 classes, for two thresholds and for mass
    assert len(table) == 30 * 3
    row = table.query("layer == 3 and head == 2 and `class` == 'B' and threshold == 0.3").iloc[0]
    assert row["count"] == result.counts["kind"][1, 1, 2, 1]
    assert row["proportion"] == result.proportion["kind"][1, 1, 2, 1]
    mass = table.query("statistic == 'mass' and property == 'scale' and layer == 1 and head == 0")
    assert mass["threshold"].isna().all()
    assert mass["count"].item() == result.mass_sums["scale"][0, 0, 0]


def _graded(compat: str | None = None) -> HeadStatistics:
    """One protein; head h has 100 h eligible arcs, of which 10 h h are in class A."""
    result = empty_result(
        layers=(0,), weighting="arcs", thresholds=(0.3,), scalar_threshold=True,
        properties=PROPERTIES[:1], entropy=False, compat=compat,
    )  # fmt: skip
    counts = np.zeros((1, 1, 1, 3, 5), dtype=np.int64)
    for head in range(3):
        counts[0, 0, 0, head] = [500, 100 * head, 10 * head * head, 90 * head, 0]
    result.add(counts, None, None, np.array([[10, 80, 10]]), np.array([[100]]), 100)
    return result


def test_top_heads_are_ranked_against_background():
    table = _graded().top_heads("kind", "A")
    assert table["head"].tolist() == [2, 1]  # head 0 has no eligible arc
    assert table["proportion"].tolist() == [0.2, 0.1] and table["excess"].tolist() == [2.0, 1.0]
    everything = _graded().top_heads("kind", k=2)
    assert everything["class"].tolist() == ["A", "B"]
    # The original leaves out heads with exactly min_arcs arcs.
    assert _graded("provis").top_heads("kind", "A")["head"].tolist() == [2]
    for wrong in ({"property_name": "x"}, {"class_name": "x"}, {"threshold": 0.7}):
        with pytest.raises(ArgumentError, match=r"kind|threshold"):
            _graded().top_heads(**({"property_name": "kind"} | wrong))


def test_people_read_layers_and_heads_from_one():
    from provis_fast import tables

    text = tables.to_text(_graded())
    assert text.splitlines()[2].split() == ["kind", "A", "1-3", "20.0%", "10.0%", "2.0x", "200"]
    assert "counted from 1" in tables.caption(_graded())
    assert "too few arcs" in tables.to_text(empty_result())


def test_repr_is_short_and_html_escaped():
    result = random_result(1, model={"name": "<b>tiny</b>"})
    assert len(repr(result)) < 200 and "2 layers x 3 heads" in repr(result)
    assert "<table>" in result._repr_html_() and "<b>" not in result._repr_html_()
    assert "INCOMPLETE" not in repr(result)


def test_totals_beyond_64_bits():
    batch = Batch.random(1, n_proteins=2, largest=2**20)
    batch.mass[:] = 2**62
    result = functools.reduce(
        lambda whole, _: (batch.add_to(whole), whole)[1], range(8), empty_result()
    )
    assert (result.mass == 2.0**34).all()
