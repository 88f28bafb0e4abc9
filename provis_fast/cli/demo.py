"""``provis-fast demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from provis_fast.cli import output
from provis_fast.cli.analyze import analyse, finish
from provis_fast.cli.arguments import DEMO_FOLDER
from provis_fast.errors import ProvisError

if TYPE_CHECKING:
    from provis_fast.models import Model

PROPERTIES = ("amino_acid", "secondary_structure", "contact")
THRESHOLD = 0.3


def run(arguments: argparse.Namespace) -> int:
    """Analyse bundled structures, show what comes out, and say what to do next."""
    overwrite = arguments.overwrite or arguments.out == DEMO_FOLDER
    target = output.target(arguments.out, overwrite)
    output.partial_target(arguments.out, overwrite)
    from provis_fast.proteins.bundled import demo_set

    # A model of antibodies has something to say about immunoglobulin folds only.
    name = "immunoglobulin" if arguments.model == "antiberty" else "general"
    output.say(f"Bundled structures ({name}) through {arguments.model} ...", target)
    from provis_fast.models import load_model

    model = load_model(arguments.model)
    options = {"threads": arguments.threads}
    result, interrupted = analyse(model, demo_set(name), PROPERTIES, THRESHOLD, **options)
    status = finish(result, target, interrupted, overwrite)
    if not interrupted:
        output.say(
            f"\n{_pages(model, name, target, arguments)}\n"
            "\nNext, your own proteins:\n"
            f"  provis-fast analyze {arguments.model} FILE_OR_FOLDER... "
            f"--properties {','.join(PROPERTIES)} --out DIR\n"
            f"  provis-fast report DIR\n"
            f"  provis-fast view STRUCTURE --model {arguments.model}\n"
            "or in Python:\n"
            f'  import provis_fast as pf; result = pf.load_result("{arguments.out}")\n'
            '  result.to_pandas(); result.top_heads("contact")',
            target,
        )
    return status


def _pages(model: Model, name: str, target: Path, arguments: argparse.Namespace) -> str:
    """Write the view of a structure and the report, which links to it; say where they are."""
    view = _view(model, name, target, arguments)
    from provis_fast.cli.report import line
    from provis_fast.reporting import report

    return f"{line(report(target))}\n{view}"


def _view(model: Model, name: str, target: Path, arguments: argparse.Namespace) -> str:
    """Write the view; where that cannot be done, the demonstration goes on without."""
    from provis_fast.cli.view import opened
    from provis_fast.proteins.bundled import demo_structure
    from provis_fast.viewing import view
    from provis_fast.viewing.viewer import check_installed

    structure = demo_structure(name)
    try:
        check_installed()
        made = view(structure, model, threads=arguments.threads)
        path = made.save(target / "view.html")
    except ProvisError as error:
        output.tell(f"note: no view: {error}")
        return (
            f"View: not made; once that is put right:\n  provis-fast view {structure} "
            f"--model {arguments.model} -o {target / 'view.html'}"
        )
    return f"View: {path} ({opened(made)})"
