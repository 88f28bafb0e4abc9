"""Running a part of the work in a process of its own, so that its failure costs no other part."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple


class Outcome(NamedTuple):
    """How a part ended.

    Attributes
    ----------
    status : {"ok", "failed", "stopped", "left out"}
        "stopped" at the end of its time; "left out" where it was never begun.
    seconds : float
    note : str
        The last line it printed, or the reason.
    output : str
        All it printed.
    """

    status: str
    seconds: float
    note: str
    output: str = ""


def run(command: Sequence[str], seconds: float, **environment: str) -> Outcome:
    """Run a command for at most `seconds`; it and all it started are ended then."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        process = subprocess.Popen(
            command,
            stdout=printed,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        printed.seek(0)
        output = printed.read()
    took = time.monotonic() - began
    lines = output.strip().splitlines()
    last = lines[-1].strip() if lines else "no output"
    if code is None:
        return Outcome("stopped", took, f"after {seconds:.0f} s, at: {last}", output)
    if code == 0:
        return Outcome("ok", took, last, output)
    return Outcome("failed", took, f"exit status {code}: {last}", output)
