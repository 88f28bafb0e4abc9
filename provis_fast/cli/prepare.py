"""``provis-fast prepare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from provis_fast.cli import OK, SOME_FAILED, output
from provis_fast.cli.progress import ProgressReport
from provis_fast.cli.reading_options import inputs, reading_options
from provis_fast.errors import ArgumentError

_SHOWN = 10


def run(arguments: argparse.Namespace) -> int:
    """Read, write and tell what came of it."""
    from provis_fast.prepare import RECORDS_PER_PART, prepare
    from provis_fast.properties import Contact

    given = {
        name: value
        for name in ("atom", "cutoff", "separation")
        if (value := getattr(arguments, f"contact_{name}")) is not None
    }
    if arguments.no_contacts and given:
        raise ArgumentError(
            f"--contact-{next(iter(given))}: expected without --no-contacts; leave one of them out"
        )
    with ProgressReport(unit="residues") as progress:
        made = prepare(
            inputs(arguments),
            arguments.out,
            labels=arguments.labels,
            contacts=False if arguments.no_contacts else Contact(**given),
            coordinates=arguments.coordinates,
            compress=arguments.compress,
            records_per_part=arguments.records_per_part or RECORDS_PER_PART,
            overwrite=arguments.overwrite,
            progress=progress,
            **reading_options(arguments),
        )
    _explain(made.folder)
    output.say(
        f"{made.read:,} records read: {made.kept:,} kept, {made.skipped:,} skipped, "
        f"{made.failed:,} failed; {made.residues:,} residues, "
        f"{made.bytes / made.residues:.2f} bytes each\n"
        f"Prepared: {arguments.out}/, an input of analyze like any other",
        made.folder,
    )
    return SOME_FAILED if made.failed else OK


def _explain(folder: Path) -> None:
    """Say on stderr what was not kept and why."""
    from provis_fast.proteins.prepared import set_aside

    shown = more = 0
    for record in set_aside(folder):
        if shown == _SHOWN:
            more += 1
            continue
        shown += 1
        output.tell(f"{record.status}: {record.id} ({record.source}): {record.reason}")
    if more:
        output.tell(f"{more:,} more records skipped or failed: see {folder / 'failed.tsv'}")
