"""What a process that reads files for another one does; see `provis_fast.proteins.reading_ahead`.

It reads one file after the other, as it is told, and sends what it finds in batches. A batch is
sent before reading goes on: who has not received the end of a file knows that this file, or one of
those before it, was being read when the process died.
"""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from provis_fast.errors import InputError
from provis_fast.proteins.formats import Format, Reader, Reading
from provis_fast.proteins.record import Protein, SetAside
from provis_fast.proteins.tape_lmdb import data_file

#: A batch is sent when it holds so many records, or so many residues: a few hundred kilobytes.
_RECORDS = 256
_RESIDUES = 1 << 14
#: First message from the process: what it needs could be imported.
READY = "ready"


class Setup(NamedTuple):
    """First message to the process.

    Attributes
    ----------
    reading : Reading
    labels : collection of str
        Labels and values to compute here, where the reader computes them only when asked for.
    log_level : int
        Least level of log messages that are sent back.
    """

    reading: Reading
    labels: Collection[str]
    log_level: int


class Task(NamedTuple):
    """A file to read.

    Attributes
    ----------
    path : Path
    name : str
        What to call it in records.
    format_name : str
    reader : callable or str
        Of its format; the rest of that need not be picklable.
    """

    path: Path
    name: str
    format_name: str
    reader: Reader | str


class Batch(NamedTuple):
    """Message of the process: the next records of a file.

    Attributes
    ----------
    records : bytes
        A pickled list of Protein and SetAside.
    log : list of (str, int, str, bool)
        What was logged meanwhile: name, level, message, and whether a result keeps it as well.
    n_records, residues, n_bytes : int
        The bytes are those of the file, told with its last batch.
    began, seconds : float
        When reading them began, by `time.perf_counter`, and how long it took.
    last : bool
        Whether the file ends here.
    error : Exception, optional
        What reading ended by.
    unsendable : bool
        The records, or the exception, cannot be pickled; the rest of the file is not read.
    """

    records: bytes
    log: list[tuple[str, int, str, bool]]
    n_records: int
    residues: int
    n_bytes: int
    began: float
    seconds: float
    last: bool = False
    error: Exception | None = None
    unsendable: bool = False


def serve(connection: Connection) -> None:
    """Read the files whose names come, until the process is ended."""
    setup = connection.recv()
    log = _Log()
    logger = logging.getLogger("provis_fast")
    logger.handlers, logger.propagate = [log], False
    logger.setLevel(setup.log_level)
    connection.send(READY)
    while True:
        try:
            task = connection.recv()
        except EOFError:  # nobody wants anything any more
            return
        for batch in _batches(task, setup, log):
            connection.send(batch)


def _batches(task: Task, setup: Setup, log: _Log) -> Iterator[Batch]:
    records: list[Protein | SetAside] = []
    residues, error = 0, None
    began = time.perf_counter()
    try:
        file_format = Format(task.format_name, (), task.reader)
        for record in file_format.read(task.path, task.name, setup.reading):
            records.append(record)
            if isinstance(record, Protein):
                _compute(record, setup.labels)
                residues += len(record)
            if len(records) == _RECORDS or residues >= _RESIDUES:
                batch = _batch(records, log, began)
                yield batch
                if batch.unsendable:
                    return
                records, residues, began = [], 0, time.perf_counter()
    except Exception as raised:
        if not isinstance(raised, InputError | MemoryError):
            raised.add_note(f"In the process that read {task.path}:\n{traceback.format_exc()}")
        error = raised
    yield _batch(records, log, began, task.path, error)


def _compute(protein: Protein, names: Collection[str]) -> None:
    """Have labels and values ready; one that cannot be computed says so where it is used."""
    for name in names:
        for known in (protein.labels, protein.values):
            if name in known:
                with suppress(InputError):
                    known[name]


def file_size(path: Path) -> int:
    """Bytes of a file, or of a data set's main file; 0 where that cannot be told."""
    try:
        return data_file(path).stat().st_size
    except OSError:
        return 0  # whoever reads it will say why it cannot be read


def _batch(
    records: list[Protein | SetAside],
    log: _Log,
    began: float,
    last: Path | None = None,
    error: Exception | None = None,
) -> Batch:
    """A message; `last` is the file that it is the last one of."""
    residues = sum(len(record) for record in records if isinstance(record, Protein))
    n_bytes = 0 if last is None else file_size(last)
    told = len(records), residues, n_bytes, began, time.perf_counter() - began
    try:
        if error is not None:
            error = error.with_traceback(None)
            pickle.loads(pickle.dumps(error))  # exceptions of others may do only the one
        content = pickle.dumps(records, pickle.HIGHEST_PROTOCOL)
    except Exception:
        # Readers of other packages may hand out what only exists in the process that has read it.
        return Batch(b"", log.taken(), *told, last=True, unsendable=True)
    return Batch(content, log.taken(), *told, last is not None, error)


class _Log(logging.Handler):
    """Collects messages for the parent, whose log they belong to."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: list[tuple[str, int, str, bool]] = []

    def emit(self, record: logging.LogRecord) -> None:
        noted = bool(getattr(record, "noted", False))
        self._messages.append((record.name, record.levelno, record.getMessage(), noted))

    def taken(self) -> list[tuple[str, int, str, bool]]:
        """What was logged since this was asked last."""
        taken, self._messages = self._messages, []
        return taken
