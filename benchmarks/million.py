"""A million proteins: memory over time, a run that is killed and resumed, and the same bytes.

    python benchmarks/million.py [--proteins 1000000] [--mean-length 100] [--kills 2] [--out FILE]

A FASTA file is generated and analysed by the command line with a tiny random model, so that
reading, planning and accounting weigh as much as they can. Its resident memory is sampled all
along. A second analysis of the same file is killed (SIGKILL) as often as `--kills` says, at even
distances, and resumed; its files must be those of the first, the manifest's "run" aside.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
from random_models import AMINO_ACIDS, save_esm

_INTERVAL = 0.5  # seconds between two samples of the memory
_LEAST, _MOST = 30, 1000  # residues
_AT_ONCE = 10_000


def write_fasta(path: Path, proteins: int, mean_length: float) -> int:
    """Random proteins with lengths as in a proteome (gamma, shape 2); returns residues."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(AMINO_ACIDS[:20].encode(), np.uint8)
    residues = 0
    with path.open("wb") as stream:
        for first in range(0, proteins, _AT_ONCE):
            number = min(_AT_ONCE, proteins - first)
            lengths = rng.gamma(2.0, mean_length / 2, number).astype(int).clip(_LEAST, _MOST)
            text = letters[rng.integers(0, len(letters), int(lengths.sum()))].tobytes()
            residues += len(text)
            ends = np.cumsum(lengths)
            for offset, (end, length) in enumerate(zip(ends, lengths, strict=True)):
                body = text[end - length : end]
                lines = b"\n".join(body[at : at + 60] for at in range(0, len(body), 60))
                stream.write(b">generated_%d of the benchmark\n%s\n" % (first + offset, lines))
    return residues


def resident(pid: int) -> float:
    """Resident memory of a process, MiB; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def analyse(command: list[str], kill_after: float | None = None) -> tuple[list[float], float]:
    """Run the command line, killing it after a time; memory samples in MiB and seconds."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        samples = []
        while process.poll() is None:
            samples.append(resident(process.pid))
            if kill_after is not None and time.perf_counter() - began > kill_after:
                process.send_signal(signal.SIGKILL)
                break
            try:
                process.wait(_INTERVAL)
            except subprocess.TimeoutExpired:
                continue
        told = process.stderr.read().decode()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(told)
    return [s for s in samples if s], time.perf_counter() - began


def content(folder: Path) -> dict[str, Any]:
    """Files of a result, without what differs from run to run."""
    files: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = json.loads(files["manifest.json"])
    del manifest["run"]
    return files | {"manifest.json": manifest}


def measure(proteins: int, mean_length: float, kills: int, checkpoint: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        save_esm(folder / "model", layers=1, heads=2, head_size=16)
        fasta = folder / "proteins.fasta"
        residues = write_fasta(fasta, proteins, mean_length)
        size = fasta.stat().st_size / 1e6
        print(f"{proteins:,} proteins, {residues:,} residues, {size:,.0f} MB", flush=True)

        def command(out: str) -> list[str]:
            return [
                *(sys.executable, "-m", "provis_fast", "analyze"),
                *(str(folder / "model"), str(fasta), "--out", str(folder / out)),
                *("--checkpoint-seconds", str(checkpoint)),
            ]

        samples, seconds = analyse(command("whole"))
        peak, count = max(samples), len(samples)
        over_time = [round(samples[min(count - 1, count * k // 10)]) for k in range(1, 11)]
        print(f"whole: {seconds:.0f} s, {proteins / seconds:,.0f} proteins/s, peak {peak:.0f} MiB")
        print("MiB at every tenth of the time: " + " ".join(map(str, over_time)), flush=True)
        resumed = []
        for _ in range(kills):
            resumed.append(analyse(command("killed"), seconds / (kills + 1)))
        resumed.append(analyse(command("killed")))
        same = content(folder / "whole") == content(folder / "killed")
        again = sum(part for _, part in resumed)
        peaks = [round(max(memory)) for memory, _ in resumed]
        print(f"killed {kills} times: {again:.0f} s in all, peaks {peaks} MiB; same bytes: {same}")
        manifest = json.loads((folder / "whole" / "manifest.json").read_text())
    return {
        "proteins": manifest["proteins"]["read"],
        "analysed": manifest["proteins"]["analysed"],
        "residues": residues,
        "fasta_mb": round(size),
        "seconds": round(seconds, 1),
        "peak_mib": round(peak),
        "mib_over_time": over_time,
        "kills": kills,
        "seconds_with_kills": round(again, 1),
        "peak_mib_of_each_part": peaks,
        "same_bytes": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proteins", type=int, default=1_000_000)
    parser.add_argument("--mean-length", type=float, default=100.0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = measure(
        arguments.proteins,
        arguments.mean_length,
        arguments.kills,
        arguments.checkpoint_seconds,
    )
    if arguments.out:
        report = {"machine": machine.describe()} | found
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    if not found["same_bytes"]:
        raise SystemExit("the resumed analysis has other bytes")


if __name__ == "__main__":
    main()
