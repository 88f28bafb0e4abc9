"""On a GPU: tests, sanitizer, and the kernels beside the vendor's attention.

    python benchmarks/gpu.py [--out FILE] [--skip-tests] [--device cpu --small]

`benchmarks/gpu` builds for the card at hand and calls this. With ``--device cpu --small`` the
script runs on any machine, to see that it does; its numbers mean nothing then.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import memory
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import provis_fast as pf
from provis_fast import ops
from provis_fast.benchmark import properties
from provis_fast.engine import BATCH_TOKENS
from provis_fast.kernel_data import PropertyBatch
from provis_fast.models.routing import routed
from provis_fast.plan import PackPlanner
from provis_fast.proteins import Protein
from provis_fast.vendor_attention import attention_and_lse, blockwise_attention

HEADS = 16
#: Quantiles, from 0 to 1 by twentieths, of the lengths of the chains in provis' binding-site set.
LENGTHS = (20, 71, 91, 106, 120, 136, 147, 162, 181, 197, 214, 239, 257, 282, 307, 329, 354, 390)
LENGTHS += (451, 533, 1126)
#: Attention without statistics.
PLAIN = {"cuda": attention_and_lse, "cpu": lambda *a, longest, **o: blockwise_attention(*a, **o)}
TESTS = Path(__file__).resolve().parents[1] / "tests" / "test_cuda.py"
SANITIZED = "ragged and (bfloat16-64 or float32-20)"


def describe_gpu() -> dict[str, object]:
    """The card, its driver and clocks, and the toolkit."""
    fields = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,memory.total"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    values = done.stdout.splitlines()[0].split(", ")
    return dict(zip(fields.split(","), values, strict=True)) | {"cuda": torch.version.cuda}


def run_tests() -> dict[str, str]:
    """Closing lines of the tests, and of a few of them under the sanitizer."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", str(TESTS)]
    found = {"tests": _last_line(command, 240)}
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if Path(sanitizer).exists():
        checked = [sanitizer, "--error-exitcode", "9", *command, "-k", SANITIZED]
        found["memcheck"] = _last_line(checked, 150)
    return found


def _last_line(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode != 0:
        print("\n".join(lines[-40:]))
    return f"exit status {done.returncode}: {lines[-1] if lines else 'no output'}"


class Timer:
    """Milliseconds of functions, called in turn, with a cold second-level cache."""

    def __init__(self, device: str, rounds: int):
        self._device, self._rounds = device, rounds
        self._scrub = torch.empty((1 << 28) if device == "cuda" else 1, dtype=torch.int8)
        self._scrub = self._scrub.to(device)

    def medians(self, functions: dict[str, Callable[[], object]]) -> dict[str, float]:
        times: dict[str, list[float]] = {name: [] for name in functions}
        for function in functions.values():
            for _ in range(3):
                function()
        for _ in range(self._rounds):
            for name, function in functions.items():
                self._scrub.zero_()
                times[name].append(self._once(function))
        return {name: statistics.median(values) for name, values in times.items()}

    def _once(self, function: Callable[[], object]) -> float:
        if self._device != "cuda":
            began = time.perf_counter()
            function()
            return (time.perf_counter() - began) * 1e3
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)


def kernel_times(timer: Timer, device: str, length: int, size: int, batch: int) -> dict[str, float]:
    """Milliseconds of the vendor's attention and of ours, bfloat16, sequences of one length."""
    generator = torch.Generator().manual_seed(0)
    tokens = batch * length

    def one() -> Tensor:
        shape = (tokens, HEADS, size)
        return torch.randn(shape, generator=generator).to(device, torch.bfloat16)

    q, k, v = one(), one(), one()
    scale = size**-0.5
    cu_seqlens = torch.arange(0, tokens + 1, length, dtype=torch.int32, device=device)
    dense = [x.view(batch, length, HEADS, size).transpose(1, 2) for x in (q, k, v)]
    classes = repeated(properties(length, "key_class"), batch)
    everything = repeated(properties(length, "all"), batch)

    def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    def ours(batch_properties: PropertyBatch, weighted: bool) -> Callable[[], object]:
        moved = batch_properties._make(
            x.to(device) if isinstance(x, Tensor) else x for x in batch_properties
        )
        options = dict(
            properties=moved,
            thresholds=(0.3,),
            arc_counts=zeros(batch, 1, HEADS, moved.channels),
            mass=zeros(batch, HEADS, moved.channels) if weighted else None,
            entropy=zeros(batch, HEADS) if weighted else None,
            received=zeros(HEADS, tokens) if weighted else None,
            flags=zeros(batch, dtype=torch.int32),
        )
        return lambda: ops.attention_statistics_(
            q, k, v, cu_seqlens=cu_seqlens, max_length=length, **options
        )

    def vendor() -> object:
        return attention_and_lse(q, k, v, scale=scale, cu_seqlens=cu_seqlens, longest=length)

    functions: dict[str, Callable[[], object]] = {
        "sdpa": lambda: F.scaled_dot_product_attention(*dense),
        "ours, threshold": ours(classes, False),
        "ours, all": ours(everything, True),
    }
    if device == "cuda":
        functions["packed vendor attention with its LSE"] = vendor
        for name, backend in (
            ("cudnn", SDPBackend.CUDNN_ATTENTION),
            ("flash", SDPBackend.FLASH_ATTENTION),
        ):
            functions[name] = forced(backend, dense)
    return timer.medians(functions)


def repeated(batch: PropertyBatch, times: int) -> PropertyBatch:
    """The properties of one sequence for several of the same."""
    words = batch.pairs.numel()
    offsets = torch.empty((0, times), dtype=torch.int64)
    if words:
        offsets = batch.pair_offsets + words * torch.arange(times)[None]
    return batch._replace(
        labels=batch.labels.repeat(1, times),
        values=batch.values.repeat(1, times),
        pairs=batch.pairs.repeat(times),
        pair_offsets=offsets,
    )


def forced(backend: SDPBackend, dense: list[Tensor]) -> Callable[[], object]:
    def run() -> object:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*dense)

    return run


def analysis_times(timer: Timer, device: str, layers: int, head_size: int, count: int) -> dict:
    """Milliseconds of whole analyses, and of the same packs through the vendor's attention."""
    with tempfile.TemporaryDirectory() as folder:
        memory.save_model(folder, layers, head_size)
        dtype = "bfloat16" if device == "cuda" else "float32"
        model = pf.load_model(folder, device=device, dtype=dtype)
    generator = random.Random(0)
    places = [generator.random() * (len(LENGTHS) - 1) for _ in range(count)]
    lengths = np.interp(places, range(len(LENGTHS)), LENGTHS).round().astype(int).tolist()
    letters = "ACDEFGHIKLMNPQRSTVWY"
    proteins = [
        Protein(f"p{number}", "".join(generator.choices(letters, k=n)))
        for number, n in enumerate(lengths)
    ]
    tokens = BATCH_TOKENS if device == "cuda" else 256
    packs = [
        pack
        for pack in PackPlanner(model, (), batch_tokens=tokens)(iter(proteins))
        if hasattr(pack, "inputs")
    ]

    def plain() -> None:
        with torch.inference_mode():
            for pack in packs:
                cu_seqlens = pack.cu_seqlens.to(device)

                def attend(layer, query, key, value, mask, scale, pack=pack, cu=cu_seqlens):
                    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
                    return PLAIN[device](q, k, v, scale=scale, cu_seqlens=cu, longest=pack.longest)[
                        0
                    ][None]

                with routed(model.module, attend):
                    model.module(**pack.inputs)

    times = timer.medians(
        {
            "plain forward, packed the same way": plain,
            "analysis, amino_acid": lambda: pf.analyze(
                model, proteins, ("amino_acid",), batch_tokens=tokens
            ),
            "analysis, two properties, weighted too": lambda: pf.analyze(
                model,
                proteins,
                ("amino_acid", "separation"),
                weighting="both",
                batch_tokens=tokens,
            ),
        }
    )
    shape = {"layers": layers, "heads": memory.HEADS, "head_size": head_size}
    return {"model": shape, "residues": sum(lengths), "ms": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    report: dict[str, object] = {"machine": machine.describe()}
    if on_gpu:
        report["gpu"] = describe_gpu()
    if on_gpu and not arguments.skip_tests:
        report |= run_tests()
    timer = Timer(arguments.device, 3 if arguments.small else 30)
    rows = []
    for size in (64,) if arguments.small else (32, 64, 128):
        for length in (64,) if arguments.small else (512, 1024, 2048):
            batch = 2 if arguments.small else 20
            times = kernel_times(timer, arguments.device, length, size, batch)
            best = min(times[name] for name in ("sdpa", "cudnn", "flash") if name in times)
            row = {"head_size": size, "length": length, "batch": batch, "ms": times}
            row["ratios to the fastest"] = {
                name: times[name] / best for name in ("sdpa", "ours, threshold", "ours, all")
            }
            rows.append(row)
            ratios = {name: round(x, 3) for name, x in row["ratios to the fastest"].items()}
            print(f"d={size} L={length} B x H={batch * HEADS}: fastest {best:.3f} ms; {ratios}")
    report["kernel, bfloat16"] = rows
    few = Timer(arguments.device, 1 if arguments.small else 5)
    shapes = [(2, 16)] if arguments.small else [(33, 64)]
    report["analysis, bfloat16"] = [
        analysis_times(few, arguments.device, *shape, 5 if arguments.small else 400)
        for shape in shapes
    ]
    for row in report["analysis, bfloat16"]:
        print(row["model"], {name: round(ms, 1) for name, ms in row["ms"].items()})
    for name in ("tests", "memcheck"):
        print(f"{name}: {report.get(name, 'not run')}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
