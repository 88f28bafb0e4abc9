"""Files read ahead of their consumer in processes of their own, in the input's order.

Parsing structures and computing their secondary structure keeps a core busy, and holds Python's
lock, which the thread that runs the model needs too. So a large input of structures is read by one
process or several: each reads whole files, and records come out in exactly the order, and with
exactly the content, that reading here gives. A process is at most as far ahead as its connection
holds (a few hundred kilobytes) and the batch that it is about to send.

FASTA files and the like are read here unless asked for otherwise: most of what reading them takes
is making the objects, which receiving them from a process takes as well.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from provis_fast.child_process import ChildDiedError, ChildProcess, can_start
from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.inputs import InputFile
from provis_fast.proteins.reader_process import READY, Batch, Setup, Task, file_size
from provis_fast.proteins.record import Protein, SetAside

logger = logging.getLogger(__name__)

#: Inputs of no more structures, in files and in bytes, are read before a process has started.
SMALL_FILES = 64
SMALL_BYTES = 64 << 20
#: More than this many seldom have anything to do.
MAX_AUTOMATIC = 4
#: Files that each process is told of beforehand.
_WINDOW = 16

#: Called with the name of a process and what it has read.
TookCallback = Callable[[str, Batch], None]


def automatic_readers(files: Sequence[InputFile]) -> int:
    """How many processes read an input where nobody says: 0 is none, everything is read here.

    Parameters
    ----------
    files : sequence of InputFile

    Returns
    -------
    int
        0 for few structures, or none; else one for every four cores, at least 1 and at most
        `MAX_AUTOMATIC`. The other cores are the model's.
    """
    structures = [file for file in files if file.format.one_entry]
    if not can_start():
        return 0
    if len(structures) <= SMALL_FILES and sum(map(_size, structures)) <= SMALL_BYTES:
        return 0
    return max(1, min(MAX_AUTOMATIC, len(os.sched_getaffinity(0)) // 4))


class ReadingAhead:
    """Reads files, in this thread or in other processes.

    Parameters
    ----------
    files : sequence of InputFile
        In the order in which `read` will be called, once for each.
    reading : Reading
    readers : int, optional
        Processes; 0 reads in the calling thread, None chooses (`automatic_readers`).
    labels : collection of str
        Labels and values that will be asked for: the processes compute them, where they are
        computed only when asked for.
    took : callable, optional
        See `TookCallback`; called where processes read.

    Raises
    ------
    ArgumentError
        `readers` is no whole number of at least 0.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        reading: Reading,
        readers: int | None = 0,
        labels: Collection[str] = (),
        took: TookCallback | None = None,
    ):
        if readers is None:
            readers = automatic_readers(files)
        if not isinstance(readers, int) or isinstance(readers, bool) or readers < 0:
            raise ArgumentError(f"readers: expected an integer of at least 0, got {readers!r}")
        n_readers = min(readers, len(files))
        self._reading, self._took = reading, took
        self._files = deque(file for file in files if n_readers and _can_be_sent(file))
        level = logging.getLogger("provis_fast").getEffectiveLevel()
        setup = Setup(reading, tuple(labels), level)
        self._readers = [_Reader(f"reader {k + 1}", setup) for k in range(n_readers)]

    def read(self, file: InputFile) -> Iterator[Protein | SetAside]:
        """Records of one file.

        Raises
        ------
        InputError
            The file cannot be used as a whole, or the process that read it died.
        """
        self._tell_ahead()
        for reader in self._readers:
            if reader.files and reader.files[0] is file:
                return self._received(reader)
        return file.format.read(file.path, file.name, self._reading)

    def close(self) -> None:
        """End all processes at once; may be called from any thread."""
        for reader in self._readers:
            reader.close()

    def _tell_ahead(self) -> None:
        """Share out the files that come next, so that every process has enough to do."""
        room = _WINDOW * len(self._readers) - sum(len(reader.files) for reader in self._readers)
        while self._files and room > 0:
            reader = min(self._readers, key=lambda reader: reader.bytes)
            reader.give(self._files.popleft())
            room -= 1
        for reader in self._readers:
            reader.tell()

    def _received(self, reader: _Reader) -> Iterator[Protein | SetAside]:
        file, n_records = reader.files[0], 0
        last = False
        while not last:
            try:
                batch = reader.receive()
            except _NotStartedError as error:
                logger.warning("%s; its files are read here instead", error)
                self._readers.remove(reader)
                break
            except ChildDiedError as error:
                if reader.closed:
                    raise
                reader.finish()
                raise InputError(
                    f"the process that read it {error.how}; leave the file out, or split it, or "
                    "use a larger machine",
                    file.path,
                ) from error
            for name, level, message, noted in batch.log:
                logging.getLogger(name).log(level, "%s", message, extra={"noted": noted})
            if self._took is not None:
                self._took(reader.name, batch)
            last = batch.last
            if last:
                reader.finish()
            if batch.unsendable:
                break
            for record in pickle.loads(batch.records):
                n_records += 1
                yield record
            if batch.error is not None:
                raise batch.error
        else:
            return
        # Here after all, from where the process has left off.
        records = file.format.read(file.path, file.name, self._reading)
        yield from islice(records, n_records, None)


class _NotStartedError(Exception):
    """A process ended before it had read anything: it is not the file's fault."""


class _Reader:
    """One process, and the files that it is to read, in order; started when it is needed."""

    def __init__(self, name: str, setup: Setup):
        self.name, self._setup = name, setup
        self.files: deque[InputFile] = deque()
        self._sizes: deque[int] = deque()
        self._told = 0  # files that the process knows of
        self._child: ChildProcess | None = None
        self._ready = self.closed = False
        self._lock = threading.Lock()  # one thread reads, another may close

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(self._sizes)

    def give(self, file: InputFile) -> None:
        """Have one more file to read."""
        self.files.append(file)
        self._sizes.append(_size(file))

    def finish(self) -> None:
        """Be done with the first file."""
        self.files.popleft()
        self._sizes.popleft()
        self._told = max(0, self._told - 1)

    def tell(self) -> None:
        """Tell the process of the files that it does not know of; what fails, `receive` says."""
        if self._told == len(self.files):
            return
        with suppress(ChildDiedError):
            if self._child is None:
                self._start()
            for file in islice(self.files, self._told, None):
                kind = file.format
                self._child.send(Task(file.path, file.name, kind.name, kind.reader))
                self._told += 1

    def receive(self) -> Batch:
        """The next records of the first file.

        Raises
        ------
        ChildDiedError
            The process died while it read that file, or was closed.
        _NotStartedError
            No process can be started.
        """
        while True:
            self.tell()
            if self._child is None:
                raise _NotStartedError(f"the process {self.name} cannot be started")
            try:
                if not self._ready:
                    self._ready = self._child.receive() == READY
                return self._child.receive()
            except ChildDiedError as error:
                if self.closed:
                    raise
                if not self._ready:
                    raise _NotStartedError(str(error)) from error
                self._child.close()
                knew, self._child, self._told, self._ready = self._told, None, 0, False
                if knew:
                    raise
                # It died before it was told of the file: another process will read it.

    def close(self) -> None:
        """End the process, and start none any more; may be called from any thread."""
        with self._lock:
            self.closed = True
            if self._child is not None:
                self._child.close()

    def _start(self) -> None:
        with self._lock:
            if self.closed:
                raise ChildDiedError(self.name, "was ended by this one")
            self._child = ChildProcess("provis_fast.proteins.reader_process:serve", self.name)
        self._child.send(self._setup)


def _size(file: InputFile) -> int:
    return file_size(file.path)


def _can_be_sent(file: InputFile) -> bool:
    """Whether another process can open the file, and import the reader."""
    if file.path.is_relative_to("/dev/fd"):  # which only this process has open
        return False
    reader = file.format.reader
    if isinstance(reader, str):
        return True
    try:
        pickle.dumps(reader)
    except Exception:  # a lambda, a function in a function
        return False
    return getattr(reader, "__module__", "__main__") != "__main__"  # the user's script
