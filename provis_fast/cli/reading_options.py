"""How inputs are read, as the command line says."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of `provis_fast.load_proteins`: the format, duplicates, and all of `Reading`."""
    from provis_fast.proteins.formats import Reading

    names = ("format", "unique", *(field.name for field in fields(Reading)))
    return {name: getattr(arguments, name) for name in names}
