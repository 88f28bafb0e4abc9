"""Bad arguments of the kernels: errors that name the argument and say what was expected."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from kernel_cases import packed_case

from provis_fast import ops, reference
from provis_fast.errors import ArgumentError
from provis_fast.kernel_data import KIND, UNKNOWN_VALUE, PropertyBatch


def bad_calls() -> list:
    q = torch.randn(10, 2, 16)
    cu = torch.tensor([0, 10], dtype=torch.int32)
    properties = packed_case([9], 2, 16)["properties"]
    return [
        (dict(query=q.int(), key=q, cu_seqlens=cu), "query: expected one of float32"),
        (dict(query=q, key=q), r"query: expected \[B, H, L, D\]"),
        (dict(query=q[None], key=q[None], cu_seqlens=cu), r"query: expected \[T, H, D\]"),
        (dict(query=q, key=q[:9], cu_seqlens=cu), r"key: expected shape \[10, 2, 16\]"),
        (dict(query=q, key=q.double(), cu_seqlens=cu), "key: expected float32, got float64"),
        (dict(query=q, key=q, cu_seqlens=cu.long()), "cu_seqlens: expected int32"),
        (dict(query=q, key=q, cu_seqlens=cu - 1), "cu_seqlens: expected to run from 0"),
        (
            dict(query=q, key=q, cu_seqlens=torch.tensor([0, 7, 5, 10], dtype=torch.int32)),
            "cu_seqlens: expected ascending",
        ),
        (
            dict(query=torch.randn(10, 2, 300), key=torch.randn(10, 2, 300), cu_seqlens=cu),
            "head size of 1..256, got 300",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=0.0), "threshold: expected a number"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=1.5), "threshold: expected a number"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=math.nan), "threshold: expected"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=()), "thresholds: expected at least"),
        (dict(query=q, key=q, cu_seqlens=cu, weighting="all"), "weighting: expected"),
        (
            dict(query=q, key=q, cu_seqlens=cu, key_mask=torch.ones(9, dtype=torch.bool)),
            r"key_mask: expected shape \[10\], got \[9\]",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, residues=torch.ones(10)), "residues: expected bool"),
        (dict(query=q, key=q, cu_seqlens=cu, properties=properties), "properties.labels"),
        (
            dict(query=q, key=q, cu_seqlens=cu, relative_bias=torch.zeros(2, 11)),
            "relative_bias: expected .* R >= 9",
        ),
        (
            dict(query=q.transpose(0, 2), key=q.transpose(0, 2), cu_seqlens=cu),
            "stride 1",
        ),
        *[
            (dict(query=q, key=q, cu_seqlens=cu, window=n), "window: expected an integer of at")
            for n in (-1, 2.0, None, True)
        ],
        (
            dict(query=q, key=q, cu_seqlens=cu, position_query=q),
            "position_key: expected position_query and position_key, or neither",
        ),
        (
            dict(query=q, key=q, cu_seqlens=cu, position_key=q),
            "position_query: expected position_query and position_key, or neither",
        ),
        *[
            (
                dict(query=q, key=q, cu_seqlens=cu, position_query=q, position_key=rows),
                message,
            )
            for rows, message in (
                (torch.zeros(18, 2, 16), r"position_key: expected \[2 R \+ 1, H, D\] .* R >= 9"),
                (torch.zeros(0, 2, 16), r"position_key: expected \[2 R \+ 1, H, D\] .* no rows"),
                (torch.zeros(2, 19, 16), r"position_key: expected shape \[any, 2, 16\]"),
                (torch.zeros(19, 2, 16).double(), "position_key: expected float32, got float64"),
                (torch.zeros(19, 16, 2).mT, "position_key: .*stride 1"),
            )
        ],
        (
            dict(query=q, key=q, cu_seqlens=cu, position_query=q[:9], position_key=q),
            r"position_query: expected shape \[10, 2, 16\]",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, scale=-1.0), "scale: expected a positive"),
        (dict(query=q, key=q, cu_seqlens=cu, scale="a"), "scale: expected a positive .* got 'a'"),
        (dict(query=q, key=None, cu_seqlens=cu), "key: expected a tensor, got NoneType"),
        *[
            (dict(query=q, key=q, cu_seqlens=cu, thresholds=theta), "threshold: expected a number")
            for theta in (True, (0.3, True), None, "0.3", torch.tensor(0.3), [torch.tensor(0.3)])
        ],
        *[
            (dict(query=q, key=q, cu_seqlens=cu, max_arcs=n), "max_arcs: expected an integer of")
            for n in (-3, 2.0, None, True)
        ],
        *[
            (dict(query=q, key=q, cu_seqlens=cu, num_threads=n), "num_threads: expected an integer")
            for n in (-3, 0, 1.5, "2")
        ],
        (dict(query=q, key=q, cu_seqlens=cu, properties=3), "properties: expected a PropertyBatch"),
        (
            dict(query=q, key=q, cu_seqlens=cu, key_mask=torch.full((10,), math.nan)),
            "key_mask: expected numbers, or -inf .* got NaN",
        ),
    ]


@pytest.mark.parametrize(("arguments", "message"), bad_calls())
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ops.attention_statistics(**arguments)


def test_numbers_of_numpy_are_numbers():
    case = packed_case([30], 2, 16)
    plain = ops.attention_statistics(**case, thresholds=0.25, scale=0.5, max_arcs=99, num_threads=1)
    for theta in (np.float32(0.25), np.float64(0.25), np.array([0.25])):
        got = ops.attention_statistics(
            **case,
            thresholds=theta,
            scale=np.float32(0.5),
            max_arcs=np.int64(99),
            num_threads=np.int32(1),
        )
        assert torch.equal(got.counts, plain.counts)
        assert torch.equal(got.arc_index, plain.arc_index)


@pytest.mark.parametrize("name", ["labels", "values", "pairs", "pair_offsets"])
@pytest.mark.parametrize("function", [ops.attention_statistics, reference.attention_statistics])
def test_properties_on_another_device(name, function):
    case = packed_case([20], 1, 16)
    elsewhere = getattr(case["properties"], name).to("meta")
    case["properties"] = case["properties"]._replace(**{name: elsewhere})
    with pytest.raises(
        ArgumentError, match=rf"properties\.{name}: expected device cpu .* got meta"
    ):
        function(**case)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(labels=None), r"properties\.labels: expected a tensor, got NoneType"),
        (dict(values=torch.zeros(1, 20)), r"properties\.values: expected int64, got float32"),
        (dict(pairs=torch.zeros(40, dtype=torch.int64)), r"properties\.pairs: expected int32"),
        (dict(pairs=torch.zeros(40, 1, dtype=torch.int32)), r"properties\.pairs: expected shape"),
    ],
)
def test_bad_tensors_of_properties(change, message):
    case = packed_case([20], 1, 16)
    case["properties"] = case["properties"]._replace(**change)
    with pytest.raises(ArgumentError, match=message):
        ops.attention_statistics(**case)


@pytest.mark.parametrize("kind", ["key_value", "pair"])
def test_values_and_pairs_have_one_class(kind):
    case = packed_case([20], 1, 16)
    classes = list(case["properties"].classes)
    classes[KIND[kind]] = 2
    case["properties"] = case["properties"]._replace(classes=tuple(classes))
    with pytest.raises(ArgumentError, match=r"properties\.classes: .*1 for key values .* got 2"):
        ops.attention_statistics(**case)


@pytest.mark.parametrize("others", ["arc_counts", "mass", "received", "entropy"])
@pytest.mark.parametrize("function", [ops.attention_statistics_, reference.attention_statistics_])
def test_accumulators_need_flags(others, function):
    """Without flags, a protein with NaN would look like one without arcs."""
    q = torch.randn(1, 2, 6, 16)
    shapes = dict(arc_counts=(1, 1, 2, 1), mass=(1, 2, 1), received=(2, 6), entropy=(1, 2))
    accumulator = {others: torch.zeros(shapes[others], dtype=torch.int64)}
    with pytest.raises(ArgumentError, match=r"flags: expected int32 \[1\] with every other"):
        function(q, q, thresholds=(0.3,), **accumulator)
    function(q, q, thresholds=(0.3,), **accumulator, flags=torch.zeros(1, dtype=torch.int32))


def value_case(lengths: list[int], values: list[float]) -> dict:
    """Sequences whose residues have one and the same value each; a few values are unknown."""
    tokens = sum(lengths)
    q = torch.zeros(tokens, 1, 4)
    fixed = torch.tensor(np.repeat(np.array(values) * 65536, lengths).astype(np.int64))
    fixed[::1000] = UNKNOWN_VALUE
    return dict(
        query=q,
        key=q,
        cu_seqlens=torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32),
        properties=PropertyBatch.empty()._replace(
            kinds=(KIND["key_value"],), rows=(0,), classes=(1,), values=fixed[None]
        ),
        weighting="both",
    )


@pytest.mark.parametrize("function", [ops.attention_statistics, reference.attention_statistics])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_values_that_leave_64_bits_are_refused(function, sign):
    with pytest.raises(
        ArgumentError, match=r"2,000,000,000, got 2100 x 1.04858e\+06 in sequence 1"
    ):
        function(**value_case([30, 2100], [1.0, sign * 2.0**20]))
    with pytest.raises(ArgumentError, match=r"at most 2\*\*20 .* got 1.04858e\+06; rescale"):
        function(**value_case([3, 30], [1.0, sign * (2.0**20 + 1)]))


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_values_are_right_up_to_the_bound(sign):
    """Each sequence stands for itself, and of a long one only the residues count."""
    value = sign * 2.0**20
    case = value_case([1900, 2100], [value, sign * 952380.0])
    for arguments in (case, {**value_case([2100], [value]), "residues": torch.arange(2100) < 1900}):
        got = ops.attention_statistics(**arguments)
        known, sums = got.mass_known[:, 0, 0], got.mass_sums[:, 0, 0]
        expected = torch.tensor([value, sign * 952380.0], dtype=torch.float64)[: len(known)]
        assert torch.allclose(sums / known, expected, rtol=1e-6, atol=0.0)
    case["properties"].values.fill_(UNKNOWN_VALUE)
    assert ops.attention_statistics(**case).mass_sums.abs().sum() == 0


def test_bitmap_beyond_its_end_is_refused():
    case = packed_case([20], 1, 16)
    properties = case["properties"]
    short = properties._replace(pairs=properties.pairs[:-1])
    with pytest.raises(ArgumentError, match=r"properties\.pair_offsets"):
        ops.attention_statistics(**{**case, "properties": short})


def test_unknown_instruction_set(monkeypatch):
    monkeypatch.setenv("PROVIS_FAST_CPU", "sse9")
    with pytest.raises(ArgumentError, match=r"PROVIS_FAST_CPU: expected one of .*portable"):
        ops.attention_statistics(**packed_case([5], 1, 16))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its address space")
@pytest.mark.parametrize("threads", [1, 2])
def test_out_of_memory_is_an_exception(threads, tmp_path):
    program = f"""
        import resource, torch
        from provis_fast import ops
        q = torch.zeros(1, 1, 400_000, 64)
        ops.attention_statistics(q[:, :, :64], q[:, :, :64], num_threads={threads})
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20), used + (60 << 20)))
        try:
            ops.attention_statistics(q, q, num_threads={threads})
        except MemoryError:
            print("told")
    """
    # Elsewhere than in a clone, whose sources would come before an installed package.
    command = [sys.executable, "-c", textwrap.dedent(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.stdout == "told\n", run.stderr
