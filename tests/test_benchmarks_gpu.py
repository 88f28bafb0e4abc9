"""The GPU benchmarks: that they run on any machine, and what becomes of their numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)

PARTS = ("kernels", "received", "paths", "analysis", "memory")


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """Of a run on the CPU."""
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--small"]
    done = subprocess.run(
        [*command, "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def test_report_has_its_schema(report):
    assert report["format"] == 1 and report["device"] == "cpu" and report["small"] is True
    assert report["gpu"] is None
    assert {"torch", "cuda", "cudnn", "transformers", "commit"} <= set(report["versions"])
    assert {"date", "processor"} <= set(report["machine"])
    assert set(report["parts"]) == set(PARTS)
    for name, part in report["parts"].items():
        assert part["status"] == "ok" and part["complete"], (name, part)
        assert report[name], name
    for target in report["targets"]:
        assert set(target) == {"name", "limit", "unit", "measured", "met"}
        assert target["measured"] is None and target["met"] is None  # a CPU measures none


def test_rows_have_times_and_nothing_failed(report):
    times = [row["ms"] for name in PARTS if name != "memory" for row in report[name]]
    assert all(ms and all(number > 0 for number in ms.values()) for ms in times)
    (kernels,) = report["kernels"]
    assert {"sdpa", "threshold", "weighted", "all", "received"} <= set(kernels["ms"])
    assert kernels["arcs_per_query"] > 0.01 and not kernels["left_out"]
    (received,) = report["received"]
    assert received["differences"]["column sums, torch"] < 1e-3
    assert "column sums, torch" in received["ms"]
    models = [row["model"] for row in report["analysis"]]
    assert models == 2 * ["ESM-2 650M shape"] + 2 * ["ProtBert shape"]
    assert all(row["arcs_per_query"] > 0 and not row["left_out"] for row in report["analysis"])
    wanted = {"capability", "gpu", "dtype", "head_size", "length", "statistics", "ms"}
    assert all(wanted <= set(row) for row in report["paths"])
    assert {row["statistics"] for row in report["paths"]} == {"none", "threshold", "all"}
    assert all(row["extra_mib"] is None for row in report["memory"])


def test_batched_matrices_give_the_statistics_of_one_by_one(tmp_path):
    import analysis_cases
    import contenders
    import torch

    import provis_fast as pf

    model = pf.load_model(analysis_cases.save_esm(tmp_path))
    proteins = analysis_cases.random_proteins([30, 7, 18])
    names = ("amino_acid", "separation", "contact", "hydrophobicity")
    arcs, counts = contenders.eager_statistics(model, proteins, names)()
    batched, batched_counts = contenders.eager_statistics(model, proteins, names, 1000)()
    assert arcs.sum() > 100 and torch.equal(arcs, batched)
    for one, other in zip(counts, batched_counts, strict=True):
        torch.testing.assert_close(one, other)
    result = pf.analyze(model, proteins, names)
    assert torch.equal(arcs, torch.from_numpy(result.arcs))


def measured_report(name: str, finished: str, two_pass: float, **more) -> dict:
    """A report as a GPU would give it, with the fastest vendor at 1 ms."""
    ms = {"sdpa": 1.6, "sdpa, cudnn": 1.0, "threshold, two-pass": two_pass, "weighted": 1.4}
    rows = [{"head_size": 64, "length": n, "ms": ms} for n in (512, 1024, 2048)]
    rows.append({"head_size": 32, "length": 512, "ms": {**ms, "threshold, two-pass": 9.0}})
    return {
        "device": "cuda",
        "small": False,
        "finished": finished,
        "gpu": {"name": name},
        "kernels": rows,
        "memory": [{"length": 8192, "extra_mib": 70.2}],
        **more,
    }


def test_table_takes_the_newest_report_of_each_gpu(tmp_path, capsys):
    import readme_table

    for folder, report in {
        "a": measured_report("One", "2030-01-02T00:00:00+00:00", 1.25),
        "b": measured_report("One", "2030-01-01T00:00:00+00:00", 1.99),
        "c": measured_report("Another", "2029-01-01T00:00:00+00:00", 1.35),
        "d": measured_report("None", "2031-01-01T00:00:00+00:00", 1.0, device="cpu"),
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "gpu.json").write_text(json.dumps(report))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{readme_table.BEGIN}\nstale\n{readme_table.END}\nafter\n")
    options = ["--readme", str(readme), "--results", str(tmp_path)]
    assert readme_table.main([*options, "--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert readme_table.main(options) == 0 and readme_table.main([*options, "--check"]) == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "stale" not in text
    two_pass = "threshold statistics, two passes / fastest vendor attention"
    assert f"| One | {two_pass} | 1.30 x | 1.25 x | met |" in text
    assert f"| Another | {two_pass} | 1.30 x | 1.35 x | missed |" in text
    assert "8,192 tokens | 64 MiB | 70 MiB | missed |" in text
    assert "1.10 x | not measured | |" in text and "1.99" not in text and "| None |" not in text
    assert text.index("| Another |") < text.index("| One |")


def test_readme_is_what_the_results_say():
    import readme_table

    if not readme_table.newest(BENCHMARKS / "results"):
        assert "not yet measured" in (BENCHMARKS.parent / "README.md").read_text()
    assert readme_table.main(["--check"]) == 0


def test_a_target_needs_every_length():
    import gpu_targets

    report = measured_report("One", "", 1.0)
    assert gpu_targets.judged(report)[0]["met"] is True
    report["kernels"] = report["kernels"][1:]
    assert gpu_targets.judged(report)[0]["measured"] is None


def test_a_part_apart_cannot_take_others_with_it():
    import gpu_apart

    good = gpu_apart.run([sys.executable, "-c", "print('well')"], 60)
    assert (good.status, good.note) == ("ok", "well")
    bad = gpu_apart.run([sys.executable, "-c", "print('so far'); raise SystemExit('why')"], 60)
    assert bad.status == "failed" and bad.note == "exit status 1: why" and "so far" in bad.output
    began = time.monotonic()
    hung = gpu_apart.run(["sh", "-c", "echo begun; sleep 60 & wait"], 0.5)
    assert hung.status == "stopped" and hung.note.endswith("begun")
    assert time.monotonic() - began < 30  # not waited for, nor for what it had started


def test_tests_that_are_all_skipped_are_no_success():
    import gpu_apart
    import gpu_checks

    skipped = gpu_apart.Outcome("ok", 1.0, "83 skipped in 3.7s")
    assert gpu_checks.judged("tests", skipped).status == "failed"
    passed = gpu_apart.Outcome("ok", 1.0, "82 passed, 1 skipped in 40s")
    assert gpu_checks.judged("tests", passed) == passed


def test_commands_name_every_test_for_a_gpu_and_the_sanitizer(tmp_path, monkeypatch):
    import gpu_checks

    monkeypatch.setattr(gpu_checks, "sanitizer", lambda: "/somewhere/compute-sanitizer")
    executable = tmp_path / "cuda_tests"
    executable.touch()
    commands = gpu_checks.commands(executable)
    assert any(path.endswith("test_cuda.py") for path in commands["tests"])
    assert commands["cuda_tests"] == [str(executable)]
    for tool in ("memcheck", "racecheck"):
        assert tool in commands[tool] and commands[tool][-1] == str(executable)
    without = gpu_checks.commands(None)
    assert "not built" in without["cuda_tests"] and "-k" in without["memcheck"]


def test_a_benchmark_keeps_its_rows_when_it_is_stopped(tmp_path, monkeypatch):
    import gpu
    import gpu_kernels

    def endless(setting):
        yield {"number": 1}
        yield {"number": 2}
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(gpu_kernels, "rows", endless)
    out = tmp_path / "kernels.json"
    with pytest.raises(RuntimeError, match="lost"):
        gpu.measure("kernels", "cpu", True, 60, out)
    assert json.loads(out.read_text()) == {
        "rows": [{"number": 1}, {"number": 2}],
        "complete": False,
    }
    gpu.measure("kernels", "cpu", True, -1, out)
    assert json.loads(out.read_text()) == {"rows": [{"number": 1}], "complete": False}
