"""``provis-fast demo``."""

from __future__ import annotations

import argparse

from provis_fast.cli import output
from provis_fast.cli.analyze import analyse, finish
from provis_fast.cli.arguments import DEMO_FOLDER

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
            "\nNext, your own proteins:\n"
            f"  provis-fast analyze {arguments.model} FILE_OR_FOLDER... "
            f"--properties {','.join(PROPERTIES)} --out DIR\n"
            "or in Python:\n"
            f'  import provis_fast as pf; result = pf.load_result("{arguments.out}")\n'
            '  result.to_pandas(); result.top_heads("contact")',
            target,
        )
    return status
