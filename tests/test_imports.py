"""Data flows one way: nothing imports what is built on it. And the package is quick to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import provis_fast

ROOT = Path(provis_fast.__file__).parent
#: From the ground up. A module of a layer imports its own and those before it.
LAYERS = (
    ("proteins",),
    ("properties",),
    ("statistics", "totals", "head_arrays", "storage", "merging", "tables", "result_files"),
    ("engine", "worker", "analysis_run", "distributed", "prepare"),
    ("inference",),
    ("figures",),
    ("reporting",),
    ("viewing",),
    ("cli",),
)
#: Slow to import, and needed by parts of the package alone.
HEAVY = ("torch", "transformers", "matplotlib", "statsmodels", "jinja2", "pandas", "pyarrow", "ray")


def _layer(module: str) -> int | None:
    """Number of the layer of a module of the package; None where it is of no layer."""
    first = module.removeprefix("provis_fast.").partition(".")[0]
    return next((n for n, names in enumerate(LAYERS) if first in names), None)


def _imported(path: Path) -> set[str]:
    """Modules of the package that a file imports when it is itself imported."""
    found = set()
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.If, ast.Try)):
            pending += node.body
        elif isinstance(node, ast.ImportFrom) and node.module == "provis_fast":
            found |= {f"provis_fast.{name.name}" for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name and name.startswith("provis_fast.")}


def test_nothing_imports_upward():
    upward, seen = [], 0
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("provis_fast", *path.relative_to(ROOT).with_suffix("").parts))
        own = _layer(module)
        if own is None:
            continue
        for name in _imported(path):
            layer = _layer(name)
            seen += layer is not None
            if layer is not None and layer > own:
                upward.append(f"{module} imports {name}")
    assert seen > 200
    assert upward == []


def test_an_upward_import_would_be_noticed(tmp_path):
    path = tmp_path / "table.py"
    path.write_text(
        "try:\n    from provis_fast.reporting import page\nexcept ImportError:\n    page = 0\n"
    )
    (name,) = _imported(path)
    assert _layer(name) > _layer("provis_fast.inference.table")


def test_the_package_is_quick_to_import():
    code = f"import sys, provis_fast; print([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    elsewhere = Path(__file__).parent  # not beside the sources, which need not be what is tested
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=elsewhere)
    assert done.stdout.strip() == "[]"
