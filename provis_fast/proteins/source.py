"""Find input files, and read all of them as one lazy stream of proteins."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins.formats import Reading, formats
from provis_fast.proteins.inputs import InputFile, find, told_apart
from provis_fast.proteins.opening import is_compressed
from provis_fast.proteins.record import Protein, SetAside
from provis_fast.proteins.tape_lmdb import count_tape, data_file

logger = logging.getLogger(__name__)

Unique = Literal["auto", "sequence", "none"]

_IN_MEMORY = "memory"


class ProteinSource:
    """Proteins of one or several inputs, read when iterated over, as often as wanted.

    Made by `load_proteins`. Iteration yields `Protein` alone and logs what is set aside; `records`
    yields both.
    """

    def __init__(
        self,
        inputs: Sequence[InputFile | Protein],
        *,
        unique: Unique = "auto",
        reading: Reading | None = None,
        notes: Sequence[str] = (),
    ):
        self._inputs = tuple(inputs)
        #: What was found beside the inputs and is not read.
        self.notes = tuple(notes)
        self._unique = unique
        self._reading = reading or Reading()
        self._counts: dict[Path, int | None] = {}  # records of each file, where `digests` saw them
        self._read_files = self._read_records = 0  # of files that were not counted, by `records`

    def __length_hint__(self) -> int:
        """About how many records the input has.

        Plain FASTA and ProteinNet files and TAPE data sets are counted by `digests`, on its way.
        How many chains a structure has, or how many records a compressed file, shows when it is
        read: those still to be read are taken for as long as those that `records` has read; before
        the first, nothing is known.
        """
        counts = [
            1 if isinstance(item, Protein) else self._counts.get(item.path) for item in self._inputs
        ]
        unknown = counts.count(None)
        if unknown and not self._read_files:
            return NotImplemented
        each = self._read_records / self._read_files if unknown else 0.0
        return sum(count for count in counts if count is not None) + round(unknown * each)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order of reading."""
        return tuple(item.path for item in self._inputs if isinstance(item, InputFile))

    @property
    def settings(self) -> dict[str, tuple[str, ...]]:
        """How the files are read, for `HeadStatistics.settings`."""
        options = {"unique": self._unique, **asdict(self._reading)}
        found = {name: (str(value),) for name, value in options.items() if value is not None}
        formats = {item.format.name for item in self._inputs if isinstance(item, InputFile)}
        return found | ({"format": tuple(sorted(formats))} if formats else {})

    def __repr__(self) -> str:
        names = [i.name if isinstance(i, InputFile) else i.id for i in self._inputs]
        shown = ", ".join(names[:3]) + (f", ... {len(names)} inputs" if len(names) > 3 else "")
        return f"ProteinSource({shown})"

    def __iter__(self) -> Iterator[Protein]:
        for record in self.records():
            if isinstance(record, Protein):
                yield record
            else:
                level = logging.WARNING if record.status == "failed" else logging.INFO
                logger.log(
                    level,
                    "%s: %s %s: %s",
                    record.source,
                    record.id,
                    record.status,
                    record.reason,
                )

    def records(self) -> Iterator[Protein | SetAside]:
        """Read everything, in the order of the input.

        Yields
        ------
        Protein or SetAside
            A record that cannot be used, and a file among several, is set aside with its reason.
            A repeated id is skipped if its sequence is the same as well, else it has failed. Ids
            and digests of the sequences of all proteins are kept in memory to tell.

        Raises
        ------
        InputError
            If the only file of the input cannot be used as a whole: it is unreadable, empty, cut
            off, or not of its format.
        """
        first: dict[str, tuple[str, bytes]] = {}
        self._read_files = self._read_records = 0
        for item in self._inputs:
            if isinstance(item, Protein):
                yield _once(item, first)
                continue
            records = 0
            first_sequence: dict[bytes, str] | None = {} if self._by_sequence(item) else None
            try:
                for record in self._read(item):
                    records += 1
                    if isinstance(record, Protein):
                        record = _once(record, first, first_sequence)
                    yield record
            except (InputError, MemoryError) as error:
                if isinstance(error, MemoryError):
                    reason = "does not fit into memory; split the file, or use a larger machine"
                    error = InputError(reason, item.name)
                if len(self._inputs) == 1:
                    raise error from None
                records += 1
                yield SetAside(item.name, "failed", error.reason, item.name, error.line)
            if self._counts.get(item.path) is None:
                self._read_files += 1
                self._read_records += records

    def digests(self) -> list[dict[str, Any]]:
        """Identify the input.

        Returns
        -------
        list of dict
            ``path`` (a name, no folder of this machine), ``sha256`` and ``bytes`` of each file.
            Of a file that cannot be read these two are None, and ``error`` says why; `records`
            sets it aside. Proteins given as objects are digested together, over their ids and
            sequences.
        """
        digests: list[dict[str, Any]] = []
        for item in self._inputs:
            if isinstance(item, InputFile):
                digest, self._counts[item.path] = _digest(item)
                digests.append(digest)
        proteins = [item for item in self._inputs if isinstance(item, Protein)]
        if proteins:
            text = "".join(f"{p.id}\t{p.sequence}\n" for p in proteins).encode()
            digests.append(
                {
                    "path": _IN_MEMORY,
                    "sha256": hashlib.sha256(text).hexdigest(),
                    "bytes": len(text),
                }
            )
        return digests

    def _by_sequence(self, item: InputFile) -> bool:
        if self._unique == "auto":
            return item.format.one_entry
        return self._unique == "sequence"

    def _read(self, item: InputFile) -> Iterator[Protein | SetAside]:
        return item.format.read(item.path, item.name, self._reading)


def load_proteins(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Protein],
    *,
    format: str | None = None,
    unique: Unique = "auto",
    site_label: str | None = None,
) -> ProteinSource:
    """Name the proteins to analyse; files are read later, record by record.

    Parameters
    ----------
    inputs : path, or iterable of paths and Protein objects
        An iterable is gone through at once, and its Protein objects are kept in memory.
        Regular files: FASTA (.fa .fas .fasta .faa), PDB (.pdb .ent) and mmCIF (.cif .mmcif), each
        also compressed (.gz); TAPE data sets (.lmdb, a file or a folder with data.mdb); ProteinNet
        text files (.proteinnet, or any other suffix or none: told by their first line). Folders are
        searched with their sub-folders, in sorted order.
    format : {"fasta", "pdb", "mmcif", "tape", "proteinnet"}, optional
        Format of all files; by default it is told from each file's name.
    unique : {"auto", "sequence", "none"}
        "sequence": of several records of one file (chains of one entry) with the same sequence only
        the first is analysed. "auto" does so for structures alone.
    site_label : str, optional
        Label that ``sites`` of a TAPE data set become. By default "modification" if the data set's
        name contains "modif", else "binding_site".

    Returns
    -------
    ProteinSource
        Iterable as often as wanted.

    Raises
    ------
    InputError
        If a path does not exist or is a pipe, if a file has an unknown suffix, or if there is
        nothing to read.
    ArgumentError
        If `inputs` holds something else than paths and proteins, or if `format` or `unique` is not
        one of those named.

    Examples
    --------
    >>> from provis_fast.proteins import Protein, load_proteins
    >>> [protein.id for protein in load_proteins([Protein("one", "MKV"), Protein("two", "GAV")])]
    ['one', 'two']
    """
    if format is not None and format not in formats():
        raise ArgumentError(f"format must be one of {', '.join(formats())}, got {format!r}")
    if unique not in ("auto", "sequence", "none"):
        raise ArgumentError(f"unique must be 'auto', 'sequence' or 'none', got {unique!r}")
    if isinstance(inputs, ProteinSource):
        return inputs
    if isinstance(inputs, Protein):
        inputs = [inputs]
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    if not isinstance(inputs, Iterable):
        raise ArgumentError(
            "inputs: expected a path, a Protein, or an iterable of them, got "
            f"{type(inputs).__name__}"
        )
    chosen = None if format is None else formats()[format]
    found: list[InputFile | Protein] = []
    notes: list[str] = []
    for item in inputs:
        if isinstance(item, Protein):
            found.append(item)
        elif isinstance(item, str | os.PathLike):
            found.extend(find(Path(item), chosen, notes))
        else:
            raise ArgumentError(
                f"inputs must be paths or Protein objects, got {type(item).__name__}"
            )
    if not found:
        raise InputError("there are no inputs: give at least one file, folder or Protein")
    return ProteinSource(
        told_apart(found), unique=unique, reading=Reading(site_label=site_label), notes=notes
    )


def _once(
    protein: Protein,
    first: dict[str, tuple[str, bytes]],
    first_sequence: dict[bytes, str] | None = None,
) -> Protein | SetAside:
    """Set a protein aside if its id, or its sequence where that matters, was there before."""
    sequence = hashlib.blake2b(protein.sequence.encode(), digest_size=16).digest()
    where = protein.source or _IN_MEMORY
    if protein.id in first:
        before, same_id = first[protein.id]
        if sequence == same_id:
            reason = f"duplicate id, first in {before}"
            return SetAside(protein.id, "skipped", reason, protein.source)
        reason = (
            f"expected one sequence of each id, but this one, in {where}, is not the one of the "
            f"same id in {before}, which was read first; rename one of them"
        )
        return SetAside(protein.id, "failed", reason, protein.source)
    first[protein.id] = where, sequence
    if first_sequence is not None:
        same = first_sequence.setdefault(sequence, protein.id)
        if same != protein.id:
            reason = f"duplicate: the same sequence as {same}"
            return SetAside(protein.id, "skipped", reason, protein.source)
    return protein


def _digest(item: InputFile) -> tuple[dict[str, Any], int | None]:
    """What identifies a file, and how many records it has where that is cheap to tell."""
    path = data_file(item.path)
    by_line = item.format.record_start is not None and not is_compressed(path)
    first_line = b"\n" + (item.format.record_start or b"")
    digest, records, before = hashlib.sha256(), 0, b"\n"
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                if by_line:
                    records += (before + chunk).count(first_line)
                    before = (before + chunk)[1 - len(first_line) :]
        size = path.stat().st_size
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        return {"path": item.name, "sha256": None, "bytes": None, "error": why}, None
    count = records if by_line else count_tape(item.path) if item.format.name == "tape" else None
    return {"path": item.name, "sha256": digest.hexdigest(), "bytes": size}, count
