"""Which inputs are read and how, as the command line says."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from provis_fast.errors import ArgumentError


def inputs(arguments: argparse.Namespace) -> list[str]:
    """Inputs that are named on the command line, and lists of them (--inputs-from).

    Raises
    ------
    ArgumentError
        There are none.
    """
    found = [*arguments.inputs, *(f"@{name}" for name in arguments.inputs_from)]
    if not found:
        model = getattr(arguments, "model", None)
        after = "" if model is None else f" after MODEL, which {model!r} was taken for"
        raise ArgumentError(
            f"INPUT: expected a file or folder of proteins, got none{after}; name one"
        )
    return found


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of `provis_fast.load_proteins`: the format, duplicates, and all of `Reading`."""
    from provis_fast.proteins.formats import Reading

    names = ("format", "unique", *(field.name for field in fields(Reading)))
    return {name: getattr(arguments, name) for name in names}
