"""Find input files, and read all of them as one lazy stream of proteins."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins.fasta import read_fasta
from provis_fast.proteins.record import Protein, SetAside
from provis_fast.proteins.structure import read_structure
from provis_fast.proteins.tape_lmdb import count_tape, data_file, read_tape_lmdb

logger = logging.getLogger(__name__)

Format = Literal["fasta", "pdb", "mmcif", "tape"]
Unique = Literal["auto", "sequence", "none"]

_SUFFIXES: dict[str, Format] = {
    ".fa": "fasta",
    ".fas": "fasta",
    ".fasta": "fasta",
    ".faa": "fasta",
    ".pdb": "pdb",
    ".ent": "pdb",
    ".cif": "mmcif",
    ".mmcif": "mmcif",
    ".lmdb": "tape",
}
_FORMATS = ("fasta", "pdb", "mmcif", "tape")
_STRUCTURES = ("pdb", "mmcif")
_IN_MEMORY = "memory"


@dataclass(frozen=True)
class InputFile:
    """A file, its format, and the name by which records refer to it.

    The name is the file's own, or its path inside the folder that was given, so that results do not
    depend on where the data lie.
    """

    path: Path
    format: Format
    name: str


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
        site_label: str | None = None,
    ):
        self._inputs = tuple(inputs)
        self._unique = unique
        self._site_label = site_label
        self._counts: dict[Path, int | None] = {}  # records of each file, where `digests` saw them
        self._read_files = self._read_records = 0  # of files that were not counted, by `records`

    def __length_hint__(self) -> int:
        """About how many records the input has.

        Plain FASTA files and TAPE data sets are counted by `digests`, on its way. How many chains a
        structure has, or how many records a compressed file, shows when it is read: those still to
        be read are taken for as long as those that `records` has read; before the first, nothing is
        known.
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
            return item.format in _STRUCTURES
        return self._unique == "sequence"

    def _read(self, item: InputFile) -> Iterator[Protein | SetAside]:
        if item.format == "fasta":
            return read_fasta(item.path, item.name)
        if item.format == "tape":
            return read_tape_lmdb(item.path, item.name, self._site_label)
        return read_structure(item.path, item.name, item.format)


def load_proteins(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Protein],
    *,
    format: Format | None = None,
    unique: Unique = "auto",
    site_label: str | None = None,
) -> ProteinSource:
    """Name the proteins to analyse; files are read later, record by record.

    Parameters
    ----------
    inputs : path, or iterable of paths and Protein objects
        An iterable is gone through at once, and its Protein objects are kept in memory.
        Regular files: FASTA (.fa .fas .fasta .faa), PDB (.pdb .ent) and mmCIF (.cif .mmcif), each
        also compressed (.gz); TAPE data sets (.lmdb, a file or a folder with data.mdb). Folders are
        searched with their sub-folders, in sorted order.
    format : {"fasta", "pdb", "mmcif", "tape"}, optional
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
    if format is not None and format not in _FORMATS:
        raise ArgumentError(f"format must be one of {', '.join(_FORMATS)}, got {format!r}")
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
    found: list[InputFile | Protein] = []
    for item in inputs:
        if isinstance(item, Protein):
            found.append(item)
        elif isinstance(item, str | os.PathLike):
            found.extend(_find(Path(item), format))
        else:
            raise ArgumentError(
                f"inputs must be paths or Protein objects, got {type(item).__name__}"
            )
    if not found:
        raise InputError("there are no inputs: give at least one file, folder or Protein")
    return ProteinSource(found, unique=unique, site_label=site_label)


def _find(path: Path, file_format: Format | None) -> list[InputFile]:
    if str(path) == "-" and not path.exists():
        raise InputError("standard input is not read: write it to a file first", path)
    if not path.exists():
        raise InputError("no such file or folder", path)
    _check_regular(path)
    if path.is_dir() and not _is_lmdb_folder(path):
        entries = list(_walk(path))
        files = [
            InputFile(file, kind, file.relative_to(path).as_posix())
            for file in entries
            if (kind := _format_of(file, file_format)) is not None
        ]
        for file in files:
            _check_regular(file.path)
        if len(files) < len(entries):
            logger.info("%s: %d files of other kinds not read", path, len(entries) - len(files))
        if not files:
            raise InputError(
                f"the folder has no file of a known kind ({' '.join(_SUFFIXES)}, also .gz)", path
            )
        return files
    kind = file_format or _format_of(path, None)
    if kind is None:
        raise InputError(
            f"unknown kind of file: expected {' '.join(_SUFFIXES)} (also .gz); "
            "say which it is with format=",
            path,
        )
    return [InputFile(path, kind, path.name)]


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices: an input is read twice, once for its digest, and they empty."""
    if path.is_file() or path.is_dir() or not path.exists():
        return
    what = "pipe" if path.is_fifo() else "socket" if path.is_socket() else "device"
    raise InputError(f"is a {what}, not a file: write its content to a file first", path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files and LMDB folders in sorted order; hidden ones and other folders' links not."""
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not _is_lmdb_folder(entry):
            if not entry.is_symlink():
                yield from _walk(entry)
        else:
            yield entry


def _is_lmdb_folder(path: Path) -> bool:
    return (path / "data.mdb").is_file()


def _format_of(path: Path, file_format: Format | None) -> Format | None:
    """Tell the format from the name; a stated format chooses, in a folder, what is read as such."""
    if path.is_dir():
        known: Format | None = "tape"
    else:
        name = re.sub(r"\.gz$", "", path.name.lower())
        known = _SUFFIXES.get(Path(name).suffix)
        if known == "tape" and name != path.name.lower():
            known = None  # an LMDB is mapped into memory, it cannot be compressed
    return known if file_format in (None, known) else None


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
    by_line = item.format == "fasta" and path.suffix.lower() != ".gz"
    digest, records, before = hashlib.sha256(), 0, b"\n"
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                if by_line:
                    records += (before + chunk).count(b"\n>")
                    before = chunk[-1:]
        size = path.stat().st_size
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        return {"path": item.name, "sha256": None, "bytes": None, "error": why}, None
    count = records if by_line else count_tape(item.path) if item.format == "tape" else None
    return {"path": item.name, "sha256": digest.hexdigest(), "bytes": size}, count
