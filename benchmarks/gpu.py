"""On a GPU: tests, sanitizer, and the kernels and whole analyses beside their peers.

    python benchmarks/gpu.py [--out FILE] [--parts kernels,memory] [--seconds 400]
    python benchmarks/gpu.py --device cpu --small

`benchmarks/gpu` builds for the card at hand and calls this. Each part runs in a process of its own
and for a time of its own, so that one that fails or hangs costs no other; parts that failed are
named at the end, and the exit status is 1. With ``--device cpu --small`` all benchmarks run on any
machine, in this process, to see that they do; their numbers mean nothing then.

The report is one JSON object:

``format``
    1.
``device``, ``small``
    As given: "cuda" or "cpu".
``finished``
    Time, ISO 8601, UTC.
``machine``, ``versions``
    Host and date; versions of torch, CUDA, cuDNN, transformers, triton, flash-attn, provis_fast,
    and the git commit (null where not known).
``gpu``
    Name, capability, driver, memory, power limit and clocks as nvidia-smi tells them, the clocks
    before and after (null on a CPU).
``parts``
    By name: ``status`` ("ok", "failed", "stopped" at the end of its time, "left out"), ``seconds``,
    ``budget_seconds``, ``note``; ``complete`` false where a benchmark ended before its last row.
``kernels``, ``received``, ``paths``, ``analysis``, ``memory``
    Rows of the benchmarks; each module's docstring says of what. Times are medians in milliseconds
    (``ms``, by contender), sizes in MiB, ``left_out`` has the reasons of contenders that could not
    run, ``arcs_per_query`` is per query and head. Rows of ``paths`` have ``capability`` ([9, 0];
    null on a CPU), ``gpu``, ``dtype``, ``head_size``, ``length``, ``statistics`` ("none",
    "threshold", "all") and ``ms`` by path ("flash", "cudnn", "fused").
``targets``
    ``name``, ``limit``, ``unit``, ``measured`` (null: not measured), ``met``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gpu_apart
import gpu_checks
import gpu_targets

#: Benchmarks: module of each.
BENCHMARKS = {
    "kernels": "gpu_kernels",
    "analysis": "gpu_analysis",
    "memory": "gpu_memory",
    "received": "gpu_received",
    "paths": "gpu_paths",
}
#: Seconds of each part at most, in the order in which they run: what matters most comes first.
BUDGETS = {
    "tests": 100,
    "cuda_tests": 20,
    "kernels": 70,
    "analysis": 120,
    "memory": 50,
    "memcheck": 60,
    "received": 40,
    "paths": 50,
    "racecheck": 60,
}
#: A benchmark begins no new row this long before its process would be ended.
MARGIN = 10
LEAST_SECONDS = 15
GPU_FIELDS = (
    "name,compute_cap,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem,"
    "clocks.sm,clocks.mem"
)


def query_gpu() -> dict[str, str]:
    """What nvidia-smi says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    values = done.stdout.splitlines()[0].split(", ")
    return dict(zip(GPU_FIELDS.split(","), values, strict=True))


def versions() -> dict[str, object]:
    """Versions of everything that has a say in the numbers."""
    import torch

    import provis_fast
    from provis_fast.versions import installed

    git = ["git", "-C", str(gpu_checks.ROOT), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=False)
        commit = done.stdout.strip() if done.returncode == 0 else None
    except FileNotFoundError:
        commit = None
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    others = {name: installed(name) for name in ("transformers", "triton", "flash-attn")}
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": cudnn,
        **others,
        "provis_fast": provis_fast.__version__,
        "commit": commit,
    }


def measure(name: str, device: str, small: bool, seconds: float, out: Path) -> None:
    """Write a benchmark's rows as they come; begin none after `seconds`."""
    from gpu_timing import Setting

    began, rows, complete = time.monotonic(), [], True
    for row in importlib.import_module(BENCHMARKS[name]).rows(Setting(device, small)):
        rows.append(row)
        written = out.with_suffix(".part")
        written.write_text(json.dumps({"rows": rows, "complete": False}))
        written.replace(out)
        if time.monotonic() - began > seconds:
            complete = False
            break
    out.write_text(json.dumps({"rows": rows, "complete": complete}))
    ended = "" if complete else ", then its time was over"
    print(f"{name}: {len(rows)} rows{ended}")


def run_part(
    name: str, seconds: float, arguments: argparse.Namespace, folder: Path, report: dict
) -> gpu_apart.Outcome:
    """Run one part and put what it found into the report."""
    if name not in BENCHMARKS:
        command = gpu_checks.commands(arguments.cuda_tests)[name]
        if isinstance(command, str):
            return gpu_apart.Outcome("left out", 0.0, command)
        return gpu_checks.judged(name, gpu_apart.run(command, seconds))
    out = folder / f"{name}.json"
    if arguments.device == "cuda":
        command = [sys.executable, __file__, "--part", name, "--out", str(out)]
        command += ["--device", arguments.device, "--seconds", str(seconds - MARGIN)]
        outcome = gpu_apart.run(command + ["--small"] * arguments.small, seconds)
    else:
        began = time.monotonic()
        measure(name, arguments.device, arguments.small, seconds, out)
        outcome = gpu_apart.Outcome("ok", time.monotonic() - began, "in this process")
    found = json.loads(out.read_text()) if out.exists() else {"rows": [], "complete": False}
    report[name] = found["rows"]
    report["parts"][name]["complete"] = found["complete"]
    if outcome.status == "ok" and not found["complete"]:
        outcome = outcome._replace(status="stopped")
    return outcome


def run_all(arguments: argparse.Namespace) -> dict:
    """Every part that was asked for, in order; the report is written after each."""
    end = time.monotonic() + arguments.seconds
    on_gpu = arguments.device == "cuda"
    import machine

    report: dict = {
        "format": 1,
        "device": arguments.device,
        "small": arguments.small,
        "finished": None,
        "machine": machine.describe(),
        "versions": versions(),
        "gpu": query_gpu() if on_gpu else None,
        "parts": {},
    }
    report |= {name: [] for name in BENCHMARKS}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.parts:
            budget = min(BUDGETS[name], end - time.monotonic())
            entry = report["parts"][name] = {"budget_seconds": round(budget, 1)}
            if budget < LEAST_SECONDS:
                outcome = gpu_apart.Outcome("left out", 0.0, "no time was left")
            else:
                outcome = run_part(name, budget, arguments, Path(folder), report)
            entry |= {
                "status": outcome.status,
                "seconds": round(outcome.seconds, 1),
                "note": outcome.note,
            }
            if outcome.status in ("failed", "stopped"):
                print("\n".join(outcome.output.splitlines()[-40:]))
            print(f"{name}: {outcome.status}, {outcome.seconds:.0f} s; {outcome.note}", flush=True)
            now = datetime.datetime.now(datetime.UTC)
            report["finished"] = now.isoformat(timespec="seconds")
            report["targets"] = gpu_targets.judged(report)
            if on_gpu:
                after = query_gpu()
                report["gpu"]["after"] = {key: after[key] for key in ("clocks.sm", "clocks.mem")}
            if arguments.out:
                arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    return report


def summary(report: dict) -> list[str]:
    """The short table that is printed last."""
    lines = []
    for row in report["kernels"]:
        fastest = min(row["ms"].get(name, float("inf")) for name in gpu_targets.VENDORS)
        ratios = ", ".join(
            f"{name} {ms / fastest:.2f}"
            for name, ms in row["ms"].items()
            if name not in gpu_targets.VENDORS
        )
        lines.append(
            f"d={row['head_size']} L={row['length']}: fastest vendor {fastest:.3f} ms; {ratios}"
        )
    for name in ("received", "analysis"):
        for row in report[name]:
            what = row.get("model") or f"d={row['head_size']} L={row['length']}"
            times = ", ".join(f"{key} {ms:.3f}" for key, ms in row["ms"].items())
            lines.append(f"{name}, {what}: ms: {times}")
    for target in report["targets"]:
        number, unit = target["measured"], target["unit"]
        measured = "not measured" if number is None else gpu_targets.shown(number, unit)
        verdict = {None: "", True: "met", False: "missed"}[target["met"]]
        limit = gpu_targets.shown(target["limit"], unit)
        lines.append(f"{target['name']:66s} at most {limit:>8s}: {measured:>12s} {verdict}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--parts", type=lambda names: names.split(","))
    parser.add_argument("--seconds", type=float, default=400.0)
    parser.add_argument("--cuda-tests", type=Path, help="the C++ executable of that name")
    parser.add_argument("--part", choices=BENCHMARKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        measure(arguments.part, arguments.device, arguments.small, arguments.seconds, arguments.out)
        return 0
    possible = list(BUDGETS if arguments.device == "cuda" else BENCHMARKS)
    if unknown := set(arguments.parts or ()) - set(possible):
        parser.error(f"--parts: expected some of {', '.join(possible)}; got {', '.join(unknown)}")
    arguments.parts = arguments.parts or possible
    report = run_all(arguments)
    print("\n".join(["", *summary(report)]))
    bad = [name for name, part in report["parts"].items() if part["status"] != "ok"]
    if bad:
        named = ", ".join(f"{name} ({report['parts'][name]['status']})" for name in bad)
        print(f"\nnot well: {named}; their output is above")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
