"""The tests that need a GPU, and the sanitizer on a few of them, as commands."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from gpu_apart import Outcome

ROOT = Path(__file__).resolve().parents[1]
#: Few and small, as the sanitizer slows kernels down a hundredfold.
SANITIZED = "ragged and (bfloat16-64 or float32-20)"


def sanitizer() -> str | None:
    """Path of compute-sanitizer; None where there is none."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("compute-sanitizer") or shutil.which(f"{home}/bin/compute-sanitizer")


def commands(cuda_tests: Path | None) -> dict[str, list[str] | str]:
    """Commands by the name of their part; a reason instead where one cannot be run.

    Parameters
    ----------
    cuda_tests : Path, optional
        The C++ executable, where it was built.
    """
    marked = sorted(
        str(path) for path in (ROOT / "tests").glob("test_*.py") if "mark.cuda" in path.read_text()
    )
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda"]
    found: dict[str, list[str] | str] = {"tests": [*pytest, *marked]}
    built = cuda_tests is not None and cuda_tests.exists()
    found["cuda_tests"] = [str(cuda_tests)] if built else "the executable was not built: see above"
    checker = sanitizer()
    for tool in ("memcheck", "racecheck"):
        if checker is None:
            found[tool] = "no compute-sanitizer on PATH or in CUDA_HOME"
            continue
        start = [checker, "--tool", tool, "--error-exitcode", "9"]
        # The C++ tests begin at once; torch alone takes the sanitizer a minute.
        if built:
            found[tool] = [*start, str(cuda_tests)]
        else:
            found[tool] = [*start, *pytest, *marked, "-k", SANITIZED]
    return found


def judged(name: str, outcome: Outcome) -> Outcome:
    """A part's outcome; tests that were all skipped have shown nothing, whatever pytest says."""
    if name == "tests" and outcome.status == "ok" and " passed" not in outcome.note:
        return outcome._replace(status="failed", note=f"no test ran: {outcome.note}")
    return outcome
