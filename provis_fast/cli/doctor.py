"""``provis-fast doctor``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

from provis_fast import __version__, versions
from provis_fast.cli import OK, UNUSABLE
from provis_fast.errors import ProvisError

#: Distribution -> what it is needed for; the optional ones.
_OPTIONAL = {
    "antiberty": 'pip install "provis_fast[demo]"',
    "sentencepiece": 'pip install "provis_fast[sentencepiece]"',
}
_REQUIRED = (
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "biopython",
    "gemmi",
    "mdtraj",
    "lmdb",
)


def run(arguments: argparse.Namespace) -> int:
    """Print what is installed, built and used; exit status 2 where something needed is missing.

    With ``--model``, print what is known of that model instead.
    """
    if arguments.model is not None:
        from provis_fast.cli import doctor_model

        return doctor_model.run(arguments.model, arguments.revision)
    problems: list[str] = []
    _line("provis_fast", f"{__version__} in {os.path.dirname(versions.__file__)}")
    _line("python", f"{platform.python_version()} in {sys.prefix}")
    _line("platform", platform.platform())
    for name in _REQUIRED:
        version = versions.installed(name)
        _line(name, version or "MISSING")
        if version is None:
            problems.append(f"{name} is missing: pip install {name}")
    for name, how in _OPTIONAL.items():
        _line(name, versions.installed(name) or f"not installed (optional: {how})")
    problems += _torch() or _extension()
    print()
    for problem in problems:
        print(f"Problem: {problem}")
    if not problems:
        print("All is well. Try: provis-fast demo")
    return UNUSABLE if problems else OK


def _line(name: str, value: object) -> None:
    print(f"{name:<18} {value}")


def _torch() -> list[str]:
    try:
        import torch
    except Exception as error:  # a broken installation can raise anything
        return [f"torch cannot be imported ({error}): see https://pytorch.org/get-started/locally/"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _line("threads", f"{torch.get_num_threads()} of {cores} cores")
    try:
        from provis_fast.models import linear

        _line("linear layers", f"{linear.library()} (float32; {linear.VARIABLE} overrides)")
    except ProvisError as error:
        return [str(error)]
    except ImportError as error:
        return [f"transformers cannot be imported ({error}): pip install transformers"]
    from provis_fast import gpu_paths

    try:
        if (forced := gpu_paths.forced_path()) is not None:
            _line("GPU attention", f"{forced} where it can serve ({gpu_paths.VARIABLE})")
    except ProvisError as error:
        return [str(error)]
    if torch.cuda.is_available():
        _line("devices", f"cpu, {torch.cuda.device_count()} x {torch.cuda.get_device_name()}")
    else:
        _line("devices", "cpu (torch sees no GPU)")
    return []


def _extension() -> list[str]:
    """Describe the compiled part; torch has been imported before, as it must."""
    try:
        from provis_fast import _C
    except ImportError as error:
        _line("compiled part", "NOT BUILT")
        return [
            f"the extension provis_fast._C cannot be loaded ({error}): {versions.how_to_load()}"
        ]
    cpu: dict[str, Any] = _C.cpu_info()
    _line("instruction set", f"{cpu['selected']} (available: {', '.join(cpu['available'])})")
    for part, value in _C.build_info().items():
        shown = {True: "built", False: "not built"}.get(value, value)
        _line(f"kernels {part}", shown)
    return []
