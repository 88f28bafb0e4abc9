"""How fast an input is read: in this process, and by one or several others.

    python benchmarks/reading.py INPUT... [--copies 10] [--readers 0,1,2] [--repeats 3]
        [--labels secondary_structure]

Files are copied under other names, `--copies` times, so that a few structures make a large input.
The readers take turns; the best of each is shown. CPU time is that of this process alone: what is
left of it for everything else that an analysis does in Python.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import shutil
import tempfile
import time
from pathlib import Path

from provis_fast.proteins import Protein, ProteinSource, load_proteins


def copied(source: ProteinSource, folder: Path, copies: int) -> ProteinSource:
    """The same files several times."""
    for k in range(copies):
        for number, file in enumerate(source.files):
            shutil.copyfile(file, folder / f"{k:03}_{number:04}_{file.name}")
    return load_proteins(folder, unique="none")


def read(source: ProteinSource, readers: int, labels: list[str]) -> tuple[float, float, int, str]:
    """Seconds, CPU seconds of this process, records, and a digest of them."""
    digest, records = hashlib.sha256(), 0
    began, cpu = time.perf_counter(), time.process_time()
    for record in source.records(readers=readers, labels=labels):
        records += 1
        if isinstance(record, Protein):
            for name in labels:
                if name in record.labels:
                    digest.update(record.labels[name].tobytes())
            digest.update(f"{record.id} {record.sequence}".encode())
        else:
            digest.update(repr(record).encode())
    spent = time.perf_counter() - began, time.process_time() - cpu
    return *spent, records, digest.hexdigest()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--readers", default="0,1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--labels", default="secondary_structure")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    labels = [name for name in arguments.labels.split(",") if name]
    numbers = [int(n) for n in arguments.readers.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        source = load_proteins(arguments.inputs, unique="none")
        if arguments.copies > 1:
            source = copied(source, Path(folder), arguments.copies)
        runs: dict[int, list] = {n: [] for n in numbers}
        for _ in range(arguments.repeats):
            for n in numbers:
                runs[n].append(read(source, n, labels))
    if len({digest for found in runs.values() for *_, digest in found}) > 1:
        raise SystemExit("readers do not agree: this is a mistake of provis_fast")
    files = len(source.files)
    print(f"{files:,} files, {runs[numbers[0]][0][2]:,} records")
    print("readers  records/s   files/s  seconds  CPU seconds here")
    for n, found in runs.items():
        seconds, cpu, records, _ = min(found)
        rates = f"{records / seconds:11,.0f}  {files / seconds:8,.1f}"
        print(f"{n:7}{rates}  {seconds:7.2f}  {cpu:16.2f}")


if __name__ == "__main__":
    main()
