"""Stages of an analysis as a Chrome trace, for chrome://tracing or ui.perfetto.dev.

One track for each thread of each process; units, proteins and tokens of each stretch of work are
among its arguments. The latest `MAX_SPANS` stretches are kept, so the file has some 20 MB at most.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from provis_fast.atomic import cannot_write, replaced_file
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.interruptions import ignoring_interruptions
from provis_fast.stages import Stages

logger = logging.getLogger(__name__)

#: Some 40 MB of memory while the analysis runs.
MAX_SPANS = 100_000


@contextmanager
def traced(path: str | PathLike[str] | None) -> Iterator[Stages]:
    """Stages to be timed; their trace is written when the block ends, however it ends.

    Parameters
    ----------
    path : str or path, optional
        The file, which is replaced; none is written without it.

    Raises
    ------
    ArgumentError
        An empty name.
    ResultError
        The file cannot be written; said before the work is done. If it cannot be written at the
        end, that is logged, as it is no reason to lose the result.
    """
    if path is None:
        yield Stages()
        return
    if not os.fspath(path):
        raise ArgumentError("profile: expected the name of a file, got ''")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise ResultError(f"{path}: expected the name of a file to write, got a folder")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise cannot_write(path, error) from error
    stages = Stages(spans=MAX_SPANS)
    try:
        yield stages
    finally:
        with ignoring_interruptions():
            try:
                _write(target, chrome_trace(stages))
            except ResultError as error:
                logger.warning("%s", error)


def chrome_trace(stages: Stages) -> dict[str, Any]:
    """The spans of `stages` in the Trace Event Format's JSON object form.

    Times are microseconds since the first span began; ``otherData`` tells how many earlier spans
    were dropped.
    """
    spans = stages.spans
    origin = min((span.began for span in spans), default=0.0)
    processes = {stages.process: 1}
    threads: dict[tuple[str, str], int] = {}
    events: list[dict[str, Any]] = []
    # By beginning, and the longer first: what was timed inside something comes after it.
    for span in sorted(spans, key=lambda span: (span.began, -span.seconds)):
        pid = processes.setdefault(span.lane.process, len(processes) + 1)
        tid = threads.setdefault(span.lane, len(threads) + 1)
        events.append(
            {
                "name": span.stage,
                "cat": "stage",
                "ph": "X",
                "ts": round((span.began - origin) * 1e6, 3),
                "dur": round(span.seconds * 1e6, 3),
                "pid": pid,
                "tid": tid,
                "args": span.sizes,
            }
        )
    names = [
        {"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}
        for name, pid in processes.items()
    ]
    names += [
        {
            "name": "thread_name",
            "ph": "M",
            "pid": processes[process],
            "tid": tid,
            "args": {"name": thread},
        }
        for (process, thread), tid in threads.items()
    ]
    return {
        "traceEvents": names + events,
        "displayTimeUnit": "ms",
        "otherData": {"dropped_earlier_spans": stages.dropped},
    }


def _write(target: Path, trace: dict[str, Any]) -> None:
    """Write the file; ResultError where it cannot be written."""
    with replaced_file(target) as temporary:
        with open(temporary, "w", encoding="ascii") as file:
            json.dump(trace, file, separators=(",", ":"), allow_nan=False)
