"""The command line, ``provis-fast``.

Each subcommand stands in a module of its own, imported when it is called: help and errors need not
wait for torch. Progress and messages go to stderr, results to files and a short table to stdout.

Exit status: 0 all analysed, or skipped by a stated option; 2 bad usage, no usable input, or a
result that could not be written; 3 finished, but some proteins (of a view, chains)
failed; 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from provis_fast.cli.arguments import make_parser
from provis_fast.errors import ProvisError

OK, UNUSABLE, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130

#: How often OpenMP's threads look for work before they sleep; read when torch is imported. Its own
#: number keeps them awake for a millisecond, and where another process (or the thread that reads
#: files) wants a core too, each of the many short loops of a forward pass then waits for a thread
#: that cannot run: ten times slower. With this one it is twice, and on an idle machine no slower.
_SPINS = "1000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names that the terminal has no letters for
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed help, the version or what is wrong
        return int(stop.code or 0)
    handler = logging.StreamHandler()
    handler.addFilter(_is_news)
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s: %(message)s", handlers=[handler]
    )
    logging.captureWarnings(True)
    main_thread = threading.current_thread() is threading.main_thread()
    usual = signal.signal(signal.SIGTERM, _interrupt) if main_thread else None
    try:
        command = importlib.import_module(f"provis_fast.cli.{arguments.command}")
        return int(command.run(arguments))
    except ProvisError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("provis-fast: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has gone (`| head`)
        return OK
    except OSError as error:
        return _fail(str(error))
    finally:
        if usual is not None:
            signal.signal(signal.SIGTERM, usual)
        for stream in (sys.stdout, sys.stderr):
            _close(stream)


def _interrupt(number: int, frame: object) -> None:
    """Batch systems end a job by SIGTERM: it does what Ctrl-C does."""
    raise KeyboardInterrupt


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out of the log what the commands print at the end, from the result; see NOTED."""
    return not getattr(record, "noted", False)


def _fail(message: str) -> int:
    with suppress(OSError):
        print(f"provis-fast: error: {message}", file=sys.stderr)
    return UNUSABLE


def _close(stream: TextIO | None) -> None:
    """Write out what is left; what nobody can read must not change the exit status."""
    if stream is None:  # closed when the process was started
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
