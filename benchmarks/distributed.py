"""Workers beside plain processes that share a corpus by --shard: what do they cost?

    python benchmarks/distributed.py [--model MODEL] [--proteins FILE] [--workers 2] [--out FILE]

All have one thread each and run over the same corpus, from its file, with the same model. Startup
(until every process has the model in memory) is timed apart. Plain processes read the whole file
each, and run the units of their shard; of worker processes and of Ray's actors, one process reads
and adds up. Without MODEL and FILE: a random model of ESM-2 8M's shape and random proteins.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import machine
import numpy as np
import random_models

import provis_fast as pf
from provis_fast.analysis_plan import CPU_BATCH_TOKENS
from provis_fast.analysis_run import AnalysisRun
from provis_fast.distributed import Workers, partials
from provis_fast.distributed.pool import Ready
from provis_fast.distributed.processes import Processes
from provis_fast.distributed.ray_engine import RayActors
from provis_fast.measures import Measures
from provis_fast.plan import PackPlanner
from provis_fast.threads import thread_count
from provis_fast.units import Shard
from provis_fast.worker_spec import WorkerSpec

PROPERTIES = ("amino_acid", "hydrophobicity", "separation")
PLAIN = "plain processes, a shard each"


def new_run(model, proteins: str, shard=None) -> AnalysisRun:
    """An analysis that has not begun."""
    measures = Measures.checked(PROPERTIES, 0.3, None, model.n_layers, model.n_heads)
    planner = PackPlanner(model, measures.properties, batch_tokens=CPU_BATCH_TOKENS)
    options = {} if shard is None else {"shard": shard}
    return AnalysisRun(
        model, measures, planner, measures.empty(), pf.load_proteins(proteins), **options
    )


def told(run: AnalysisRun) -> dict:
    """What must be the same however the work was shared."""
    return {"analysed": run.result.analysed, "arcs": int(run.result.arcs.sum())}


def part(arguments: argparse.Namespace) -> None:
    """A plain process: says when it is ready, and runs its shard when told to."""
    index, of = map(int, arguments.part.split("/"))
    model = pf.load_model(arguments.model)
    run = new_run(model, arguments.proteins, Shard(index, of))
    print("ready", flush=True)
    input()
    with thread_count(1):
        began = time.perf_counter()
        run.serially()
        print(json.dumps({"seconds": time.perf_counter() - began} | told(run)), flush=True)


def plain(arguments: argparse.Namespace) -> dict:
    """Plain processes, begun at the same time; the last to end counts."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--model", arguments.model]
    command += ["--proteins", arguments.proteins]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, "--part", f"{k + 1}/{arguments.workers}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for k in range(arguments.workers)
        ]
        for process in processes:
            if process.stdout.readline().strip() != "ready":
                raise SystemExit("a plain process could not start")
        startup = time.perf_counter() - began
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        parts = [json.loads(process.stdout.readline()) for process in processes]
    sums = {name: sum(part[name] for part in parts) for name in ("analysed", "arcs")}
    return {"startup": startup, "seconds": max(part["seconds"] for part in parts)} | sums


def by_workers(engine: str, model, arguments: argparse.Namespace) -> dict:
    """Worker processes, or Ray's actors: the input begins to flow when all of them are ready."""
    began = time.perf_counter()
    run = new_run(model, arguments.proteins)
    spec = WorkerSpec.of(model, run.measures, run.planner, threads=1)
    all_ready, missing = threading.Event(), arguments.workers
    ready_at = 0.0

    def wrapped(start):
        def starting(transport, place, post):
            def heard(message):
                nonlocal missing, ready_at
                missing -= isinstance(message, Ready)
                if not missing and not all_ready.is_set():
                    ready_at = time.perf_counter()
                    all_ready.set()
                post(message)

            return start(transport, place, heard)

        return starting

    def blocks():
        all_ready.wait()
        yield from run.blocks()

    transport = RayActors if engine == "ray" else Processes
    with mock.patch.object(transport, "start", wrapped(transport.start)):
        team = Workers(engine, arguments.workers)
        stream = partials(team, spec, run.planner.units, blocks(), run.done, run.shard)
        finished = 0.0
        for partial in stream:
            run.absorb(partial)
            finished = time.perf_counter()  # not the end of the workers, which follows
    return {"startup": ready_at - began, "seconds": finished - ready_at} | told(run)


def measure(arguments: argparse.Namespace) -> dict:
    """Medians over the repeats of everything, one after the other in each repeat."""
    model = pf.load_model(arguments.model)
    ways = {
        PLAIN: lambda: plain(arguments),
        "worker processes": lambda: by_workers("processes", model, arguments),
        "Ray": lambda: by_workers("ray", model, arguments),
    }
    runs: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, run in ways.items():
            runs[name].append(run())
            print(f"{name:32s} {runs[name][-1]}", file=sys.stderr)
    sums = {(found["analysed"], found["arcs"]) for one in runs.values() for found in one}
    if len(sums) > 1:
        raise SystemExit(f"the ways do not agree on proteins and arcs: {sums}")
    ((proteins, arcs),) = sums
    report = {"proteins": proteins, "arcs": arcs, "startup": {}, "seconds": {}, "proteins/s": {}}
    for name, found in runs.items():
        for what in ("startup", "seconds"):
            report[what][name] = statistics.median(one[what] for one in found)
        report["proteins/s"][name] = proteins / report["seconds"][name]
    plain_rate = report["proteins/s"][PLAIN]
    report["loss"] = {
        name: 1 - rate / plain_rate for name, rate in report["proteins/s"].items() if name != PLAIN
    }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--proteins")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=2000, help="random proteins")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if arguments.part:
        part(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            arguments.model = f"{folder}/model"
            os.mkdir(arguments.model)
            random_models.save_esm(arguments.model, layers=6, heads=20, head_size=16)
        if arguments.proteins is None:
            arguments.proteins = f"{folder}/random.fasta"
            write_proteins(Path(arguments.proteins), arguments.size)
        report = {"machine": machine.describe() | {"threads": 1, "workers": arguments.workers}}
        report |= measure(arguments)
    for what in ("startup", "seconds", "proteins/s", "loss"):
        print(f"\n{what}")
        for name, number in report[what].items():
            print(f"  {name:32s} {number:10.3f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def write_proteins(path: Path, number: int) -> None:
    """Random sequences with lengths like those of Swiss-Prot: median about 300."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(5.7, 0.6, number)), 40, 1000).astype(int)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    with path.open("w") as file:
        for k, n in enumerate(lengths):
            file.write(f">random{k}\n{''.join(rng.choice(letters, n))}\n")


if __name__ == "__main__":
    main()
