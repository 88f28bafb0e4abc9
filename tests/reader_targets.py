"""Readers of made-up formats, for the tests of reading in other processes."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
from pathlib import Path

from provis_fast.errors import ProvisError
from provis_fast.proteins import LazyLabels, Protein
from provis_fast.proteins.formats import Format


def obey(path: Path, source: str, reading) -> None:
    """Do what the file's lines say: yield proteins, fail, die."""
    for number, line in enumerate(path.read_text().splitlines()):
        what, _, value = line.partition(" ")
        if what == "proteins":
            for k in range(int(value)):
                yield Protein(f"{path.stem}_{number}_{k}", "MKV", source=source)
        elif what == "modules":
            yield Protein(path.stem, "MKV", notes=tuple(sys.modules))
        elif what == "pid":
            yield Protein(f"{path.stem}_{os.getpid()}", "MKV")
        elif what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "exit":
            print("abnormal end")
            sys.stdout.flush()
            os._exit(int(value))
        elif what == "log":
            logging.getLogger("provis_fast.test").warning("%s", value, extra={"noted": True})
            logging.getLogger("provis_fast.test").debug("not wanted")
        elif what == "raise":
            raise {"memory": MemoryError, "bug": ZeroDivisionError, "ours": ProvisError}[value](
                line
            )
        elif what == "wait":
            signal.pause()
        elif what == "lazily":
            labels = LazyLabels({}, {"lazy": lambda: [1, 0, 1]})
            yield Protein(f"{path.stem}_lazy", "MKV", labels=labels)
        elif what == "endless":
            for k in itertools.count():
                yield Protein(f"{path.stem}_{k}", "MKV")


FORMAT = Format("obedient", (".txt",), "reader_targets:obey", one_entry=True)
