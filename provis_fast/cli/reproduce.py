"""``provis-fast reproduce``."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from provis_fast import storage
from provis_fast.cli import INTERRUPTED, OK, SOME_FAILED, output
from provis_fast.cli.progress import ProgressReport
from provis_fast.errors import ResultError

if TYPE_CHECKING:
    from provis_fast.reproduction import Reproduction


def run(arguments: argparse.Namespace) -> int:
    """Run the paper's experiment, save it, and show it beside the published numbers."""
    from provis_fast.reproduction import InterruptedReproduction, reproduce
    from provis_fast.reproduction.experiment import look_for

    target = _target(Path(arguments.out), arguments.overwrite)
    _target(storage.partial_folder(arguments.out), arguments.overwrite)
    chosen = {} if arguments.properties is None else {"properties": arguments.properties}
    look_for(arguments.data, **chosen)  # before a model is fetched in vain
    from provis_fast.models import load_model

    options = {name: getattr(arguments, name) for name in ("device", "dtype", "revision")}
    model = load_model(arguments.model, **options)
    try:
        with _Progress() as progress:
            outcome = reproduce(
                model,
                arguments.data,
                **chosen,
                proteins=arguments.proteins,
                seed=arguments.seed,
                model_name=arguments.model_name,
                batch_tokens=arguments.batch_tokens,
                threads=arguments.threads,
                progress=progress,
            )
    except InterruptedReproduction as error:
        outcome = error.partial
        target = storage.partial_folder(target)
    for data_set in outcome.data_sets:
        if data_set.result is not None and data_set.result.run:
            data_set.result.run[-1]["command"] = sys.argv
    output.save_or_rescue(outcome.save, target, "outcome")
    output.say(f"{outcome.to_text()}\n\nFiles: {target}/ ({_files(outcome)})", target)
    if not outcome.complete:
        output.tell(f"provis-fast: interrupted; what was done is kept in {target}")
        return INTERRUPTED
    return SOME_FAILED if outcome.missing or outcome.failed else OK


def _target(folder: Path, overwrite: bool) -> Path:
    """Where the outcome will stand, checked before the work is done; ResultError where it can't."""
    from provis_fast.reproduction import saving

    found = saving.check_writable(folder)
    if not overwrite and saving.is_outcome(found):
        raise ResultError(
            f"--out: {folder} holds an earlier outcome; give another folder, or replace it with "
            "--overwrite"
        )
    return found


def _files(outcome: Reproduction) -> str:
    folders = [f"{o.data_set.name}/" for o in outcome.data_sets if o.result is not None]
    return ", ".join([*folders, "reproduce.json"])


class _Progress:
    """Progress on stderr, data set by data set."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._name: str | None = None
        self._report: ProgressReport | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self, name: str, proteins: int, tokens: int, total: int | None) -> None:
        if name != self._name:
            self._stack.close()
            output.tell(f"{name}: the background of its file, then {total:,} proteins ...")
            self._name, self._report = name, None
        if self._report is not None:
            self._report(proteins, tokens, total)
        elif tokens:  # its clock starts with the first pack: the background took time of its own
            self._report = self._stack.enter_context(ProgressReport())
