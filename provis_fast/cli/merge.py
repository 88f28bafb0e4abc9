"""``provis-fast merge``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from provis_fast import storage
from provis_fast.cli import OK, output
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.merging import merge


def run(arguments: argparse.Namespace) -> int:
    """Load, pool, save and show."""
    target = Path(os.path.realpath(arguments.out))
    folders = [os.path.realpath(folder) for folder in arguments.results]
    if str(target) in folders:
        raise ArgumentError(f"--out: {arguments.out} is one of the results; give a new folder")
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise ArgumentError(f"RESULT: {arguments.results[number]} is given twice")
    output.target(arguments.out, arguments.overwrite)
    # Shards are incomplete by themselves: whether all are there, merge sees.
    loaded = (storage.load(folder, allow_partial=True) for folder in arguments.results)
    try:
        pooled = merge(
            loaded, allow_partial=arguments.allow_partial, allow_overlap=arguments.allow_overlap
        )
    except ResultError as error:
        named = (f"  result {n}: {path}" for n, path in enumerate(arguments.results, start=1))
        raise ResultError("\n".join([str(error), "where", *named])) from error
    tables = [Path(folder) / storage.PER_PROTEIN for folder in folders]
    kept = [] if arguments.no_per_protein else [place for place in tables if place.is_dir()]
    output.save(pooled, target, arguments.overwrite, kept)
    output.explain(pooled, target)
    for given, place in zip(arguments.results, tables, strict=True):
        if kept and place not in kept:
            output.tell(f"note: {given} has no tables of single proteins; the others' go along")
    output.show(pooled, target)
    return OK
