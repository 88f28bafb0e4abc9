"""Which way a call goes on a GPU: the rules, the table of measured times, and the calls made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kernel_cases import packed_case

from provis_fast import _kernels, gpu_paths, ops
from provis_fast.errors import ArgumentError
from provis_fast.gpu_paths import Limits, Shape, can_serve, choose
from provis_fast.gpu_table import TableError, packaged_table, parse_table, table_text
from provis_fast.vendor_attention import as_batch, blockwise_attention

LIMITS = Limits.of(
    dict(max_head_size=128, max_candidates=16, max_thresholds=64, max_properties=32, dtypes=[2, 3])
)
PLAIN = Shape(torch.bfloat16, 64, False, "threshold", 0.3, 1, 1, 512, True)
HOPPER = (9, 0)
CHOICES = Path(__file__).resolve().parents[1] / "benchmarks" / "choices.py"


def row(**changes):
    usual = dict(
        capability=[9, 0],
        gpu="a card",
        dtype="bfloat16",
        head_size=64,
        length=512,
        statistics="threshold",
        ms={"flash": 3.0, "cudnn": 2.0, "fused": 1.0},
    )
    return usual | changes


def table(*rows):
    head = {"format": "provis_fast.gpu_paths", "format_version": 1}
    return parse_table(json.dumps(head | {"rows": list(rows)}), "table.json")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("flash", True)),
        (dict(statistics="none"), ("flash", False)),
        (dict(dtype=torch.float32), ("efficient", True)),
        (dict(dtype=torch.float32, masked=True), ("blockwise", True)),
        (dict(dtype=torch.float64), ("blockwise", True)),
        (dict(masked=True), ("fused", False)),
        (dict(masked=True, dtype=torch.float16, head_size=128), ("fused", False)),
        (dict(masked=True, head_size=129), ("blockwise", True)),
        (dict(head_size=256), ("flash", True)),
        (dict(masked=True, statistics="all"), ("fused", True)),
        (dict(masked=True, statistics="none"), ("fused", False)),
        (dict(masked=True, smallest_threshold=1 / 16), ("fused", False)),
        (dict(masked=True, smallest_threshold=0.05), ("fused", True)),
        (dict(masked=True, n_thresholds=65), ("fused", True)),
        (dict(masked=True, n_properties=33), ("fused", True)),
    ],
)
def test_rule(changes, expected):
    assert choose(PLAIN._replace(**changes), HOPPER, LIMITS) == expected


def test_without_a_fused_kernel_masks_go_blockwise():
    assert choose(PLAIN._replace(masked=True), HOPPER, None) == ("blockwise", True)
    assert choose(PLAIN, HOPPER, None, forced="fused") == ("flash", True)


def test_the_fastest_measured_way_that_can_serve():
    times = table(row())
    assert choose(PLAIN, HOPPER, LIMITS, times) == ("fused", False)
    assert choose(PLAIN._replace(head_size=49), HOPPER, LIMITS, times) == ("fused", False)
    assert choose(PLAIN, HOPPER, None, times) == ("cudnn", True)
    assert choose(PLAIN._replace(uniform=False), HOPPER, None, times) == ("flash", True)
    for other in (
        dict(head_size=32),
        dict(head_size=65),
        dict(statistics="all"),
        dict(dtype=torch.float16),
    ):
        assert choose(PLAIN._replace(**other), HOPPER, LIMITS, times).attention == "flash"
    assert choose(PLAIN, (8, 0), LIMITS, times).attention == "flash"
    everything = table(row(statistics="all"))
    assert choose(PLAIN._replace(statistics="all"), HOPPER, LIMITS, everything) == ("fused", True)


def test_the_nearest_length_by_ratio():
    times = table(row(length=100), row(length=1000, ms={"cudnn": 1, "flash": 2}))
    for length, expected in ((1, "fused"), (316, "fused"), (317, "cudnn"), (9999, "cudnn")):
        shape = PLAIN._replace(longest=length, uniform=True)
        found = choose(shape, HOPPER, LIMITS, times).attention
        assert found == ("fused" if length == 1 else expected)


def test_cudnn_takes_sequences_of_one_length_alone():
    assert can_serve("cudnn", PLAIN, None)
    for changes in (dict(uniform=False), dict(longest=1), dict(head_size=136), dict(masked=True)):
        assert not can_serve("cudnn", PLAIN._replace(**changes), None)


def test_environment(monkeypatch, caplog):
    monkeypatch.setattr(gpu_paths, "_capability", lambda device: HOPPER)
    for cache in (gpu_paths._remembered, gpu_paths._tell_once):
        cache.cache_clear()
    device = torch.device("cuda", 0)
    for name in ("flash", "cudnn", "fused"):
        monkeypatch.setenv(gpu_paths.VARIABLE, name)
        assert gpu_paths.path_of(PLAIN, device, LIMITS).attention == name
    monkeypatch.setenv(gpu_paths.VARIABLE, "cudnn")
    for longest in (100, 200):
        ragged = PLAIN._replace(uniform=False, longest=longest)
        assert gpu_paths.path_of(ragged, device, LIMITS).attention == "flash"
    assert len([r for r in caplog.records if gpu_paths.VARIABLE in r.getMessage()]) == 1
    monkeypatch.setenv(gpu_paths.VARIABLE, "fast")
    with pytest.raises(ArgumentError, match=r"PROVIS_FAST_GPU_ATTENTION.*got 'fast'"):
        gpu_paths.path_of(PLAIN, device, LIMITS)


def test_packaged_table_is_sound():
    assert isinstance(packaged_table(), tuple)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "t.json:1: expected JSON"),
        ("[]", "expected format"),
        ('{"format": "provis_fast.gpu_paths", "format_version": 2}', "version 2"),
        ('{"format": "provis_fast.gpu_paths", "format_version": 1, "rows": {}}', "rows"),
    ],
)
def test_damaged_tables(text, message):
    with pytest.raises(TableError, match=message):
        parse_table(text, "t.json")


@pytest.mark.parametrize(
    "changes",
    [
        dict(capability=[9]),
        dict(gpu=1),
        dict(dtype="float32"),
        dict(head_size=257),
        dict(length=0),
        dict(statistics="some"),
        dict(ms={}),
        dict(ms={"flash": 0}),
        dict(ms={"blockwise": 1.0}),
    ],
)
def test_damaged_rows(changes):
    with pytest.raises(TableError, match=f"row 2: {next(iter(changes))}: expected"):
        table(row(), row(**changes))
    with pytest.raises(TableError, match="row 1: expected the keys"):
        table({"gpu": "a card"})


def test_choices_writes_a_table(tmp_path):
    results, out = tmp_path / "gpu.json", tmp_path / "table.json"
    results.write_text(json.dumps({"paths": [row(length=64), row(length=512)]}))
    command = [sys.executable, str(CHOICES), str(results), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    found = parse_table(out.read_text(), "out")
    assert {64, 512} <= {r.length for r in found if r.gpu == "a card"}
    assert table_text(list(found)) == out.read_text()


class FakeExtension:
    """Takes down how the kernels are called."""

    def __init__(self):
        self.seen = []

    def attention_fused_cuda(self, dtype, shape, strides, tensors, *rest, stream):
        self.seen.append(("fused", dtype, strides, tensors, rest, stream))

    def attention_statistics_cuda(self, dtype, shape, strides, tensors, *rest, **launch):
        self.seen.append(("second", dtype, strides, tensors, rest, launch))


def run(monkeypatch, path, *, return_lse=False, value=True, mass=False):
    """Run a call through a stand-in for the extension; returns what it saw and what came back."""
    case = packed_case([5, 9], 3, 16, dtype=torch.bfloat16)
    channels = case["properties"].channels
    arguments = dict(case, thresholds=(0.3,), flags=torch.zeros(2, dtype=torch.int32))
    arguments["arc_counts"] = torch.zeros(2, 1, 3, channels, dtype=torch.int64)
    if mass:
        arguments["mass"] = torch.zeros(2, 3, channels, dtype=torch.int64)
    if not value:
        arguments["value"] = None
    caught = SimpleNamespace()

    def catch(*given):
        caught.call = _kernels._Call(*given)
        raise StopIteration

    monkeypatch.setattr(torch.ops.provis_fast, "attention_statistics_", catch)
    with pytest.raises(StopIteration):
        ops.attention_statistics_(**arguments, return_lse=return_lse, max_length=9)
    fake = FakeExtension()
    monkeypatch.setattr(_kernels, "_C", fake)
    output, lse = _kernels._run_on_gpu(caught.call, gpu_paths.Path(*path), stream=7)
    return caught.call, fake.seen, output, lse


VALUE, OUTPUT, LSE, KINDS, ARC_COUNTS = 2, 3, 4, 5, 16


def test_fused_alone(monkeypatch):
    call, seen, output, lse = run(monkeypatch, ("fused", False))
    ((name, dtype, strides, tensors, _, stream),) = seen
    assert (name, dtype, stream) == ("fused", 2, 7)
    assert tensors[VALUE] == call.value.data_ptr() and tensors[OUTPUT] == output.data_ptr()
    assert tensors[LSE] == 0 and lse.numel() == 0
    assert tensors[ARC_COUNTS] == call.arc_counts.data_ptr()
    assert output.shape == call.query.shape and len(strides[3]) == 3


def test_fused_returns_its_lse_and_needs_a_value(monkeypatch):
    call, seen, output, lse = run(monkeypatch, ("fused", False), return_lse=True, value=False)
    ((_, _, _, tensors, _, _),) = seen
    assert tensors[LSE] == lse.data_ptr() and lse.shape == (3, 14) and lse.is_contiguous()
    assert tensors[VALUE] == call.key.data_ptr() and tensors[OUTPUT] != 0
    assert output.numel() == 0


def test_fused_then_a_second_pass(monkeypatch):
    call, seen, _, lse = run(monkeypatch, ("fused", True), mass=True)
    first, second = seen
    assert (first[0], second[0]) == ("fused", "second")
    assert first[3][LSE] == second[5]["lse"] != 0
    assert second[5]["lse_strides"] == [0, 14, 1] and second[5]["stream"] == 7
    assert not any(first[3][ARC_COUNTS:]) and first[4][KINDS] == []
    assert second[3][ARC_COUNTS] == call.arc_counts.data_ptr()
    assert second[4][KINDS] == call.kinds and lse.numel() == 0


def test_a_vendor_way_then_a_second_pass(monkeypatch):
    call, seen, output, lse = run(monkeypatch, ("blockwise", True), return_lse=True)
    ((name, _, _, tensors, _, launch),) = seen
    assert name == "second" and tensors[VALUE] == tensors[OUTPUT] == tensors[LSE] == 0
    assert launch["lse_strides"] == [0, 14, 1] and launch["lse"] != 0
    want, found = blockwise_attention(
        call.query, call.key, call.value, scale=call.scale, cu_seqlens=call.cu_seqlens
    )
    assert torch.equal(output, want) and torch.equal(lse, found)


def test_shape_of_a_call(monkeypatch):
    call, *_ = run(monkeypatch, ("fused", False))
    assert call.shape_on_gpu() == (torch.bfloat16, 16, False, "threshold", 0.3, 1, 6, 9, False)
    assert call._replace(max_length=7).shape_on_gpu().uniform
    assert not call._replace(max_length=0).shape_on_gpu().uniform
    masked = call._replace(allowed=torch.ones(14, dtype=torch.bool))
    assert masked.shape_on_gpu().masked
    weighed = call._replace(entropy=torch.zeros(2, 3))
    assert weighed.shape_on_gpu().statistics == "all"
    assert call.without_statistics().shape_on_gpu().statistics == "none"


def test_a_pack_of_equal_lengths_is_a_batch():
    case = packed_case([12, 12, 12], 2, 16)
    q, k, v = (case[name] for name in ("query", "key", "value"))
    dense = [as_batch(x, 12) for x in (q, k, v)]
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(dense, (q, k, v), strict=True))
    output, lse = blockwise_attention(*dense, scale=0.25)
    want, packed = blockwise_attention(q, k, v, scale=0.25, cu_seqlens=case["cu_seqlens"])
    torch.testing.assert_close(output.transpose(1, 2).flatten(0, 1), want)
    torch.testing.assert_close(lse.transpose(0, 1).flatten(1), packed)
