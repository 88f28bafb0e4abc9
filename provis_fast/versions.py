"""Versions of what a result was computed with."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from provis_fast import __version__

#: Distributions whose version may show in the numbers.
NUMERICAL = ("torch", "transformers", "numpy")


@cache  # reading a distribution's metadata takes a millisecond, a short analysis a few
def installed(name: str) -> str | None:
    """Version of an installed distribution, without importing it; None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def instruction_set() -> str | None:
    """Instruction set that the kernels use here; None without the compiled part."""
    try:
        import torch  # noqa: F401  (before the extension, so that one OpenMP runtime is loaded)

        from provis_fast import _C
    except ImportError:
        return None
    return str(_C.cpu_info()["selected"])


def how_to_load() -> str:
    """Advice where the compiled part cannot be loaded."""
    folder = Path(__file__).resolve().parents[1]
    if (folder / "setup.py").exists():
        # Python looks in the current folder before it looks where packages are installed.
        return (
            f"Python took the sources in {folder} rather than an installed package: "
            "start it in another folder, or build in place with pip install -e ."
        )
    return "install the package with pip, which builds it, or run pip install again"


def current() -> dict[str, tuple[str, ...]]:
    """What `HeadStatistics.versions` holds: this package, Python, libraries, instruction set."""
    found = {name: installed(name) for name in NUMERICAL}
    found |= {
        "provis_fast": __version__,
        "python": platform.python_version(),
        "instruction_set": instruction_set(),
    }
    return {name: (version,) for name, version in sorted(found.items()) if version is not None}
