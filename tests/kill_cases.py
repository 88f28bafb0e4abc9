"""A process that runs the command line in children which can be killed at any moment.

It has loaded torch once; each run is a fork of it, so that it begins at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PROGRAM = """
import json, os, sys
import torch
torch.set_num_threads(1)
import provis_fast.engine, provis_fast.models, provis_fast.proteins.structure, safetensors.numpy
import pandas, pyarrow.parquet
from provis_fast.cli import main
for line in sys.stdin:
    arguments, log = json.loads(line)
    child = os.fork()
    if child == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os._exit(main(arguments))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runner:
    """Runs ``provis-fast`` in processes of their own; use it as a context manager."""

    def __init__(self, folder: Path):
        self._log = folder / "log.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Elsewhere than in a clone, whose sources would come before an installed package.
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    @property
    def log(self) -> str:
        """What the last run has printed."""
        return self._log.read_text()

    def __call__(self, *arguments: object, kill_after: float | None = None) -> int:
        """Exit status; -9 where the run was killed, `kill_after` seconds from its start."""
        command = [list(map(str, arguments)), str(self._log)]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was quicker
        return int(self._process.stdout.readline())
