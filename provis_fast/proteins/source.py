"""Find input files, and read all of them as one lazy stream of proteins."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import prepared_manifest as prepared
from provis_fast.proteins.duplicates import Duplicates
from provis_fast.proteins.formats import A3MRows, Format, Reading, formats
from provis_fast.proteins.inputs import InputFile, find, listed, told_apart
from provis_fast.proteins.opening import is_compressed
from provis_fast.proteins.reader_process import file_size
from provis_fast.proteins.reading_ahead import ReadingAhead, TookCallback
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
        self._ahead: WeakSet[ReadingAhead] = WeakSet()
        #: Bytes of the files that `records` has read so far.
        self.bytes_read = 0

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
        """How the files are read, for `HeadStatistics.settings`.

        Of prepared data sets, how the input was read that they were made of.
        """
        files = [item for item in self._inputs if isinstance(item, InputFile)]
        data_sets = [item.path for item in files if item.format.name == "prepared"]
        own = asdict(self._reading)
        ways = [{name: (str(value),) for name, value in own.items() if value is not None}]
        if data_sets and len(data_sets) == len(self._inputs):
            ways.clear()  # nothing here is read by this source's own options
        ways += map(prepared.reading_of, data_sets)
        found = {"unique": (self._unique,)}
        for name in own:
            if values := {value for way in ways for value in way.get(name, ())}:
                found[name] = tuple(sorted(values))
        formats = {item.format.name for item in files}
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

    def records(
        self,
        *,
        readers: int | None = 0,
        labels: Collection[str] = (),
        took: TookCallback | None = None,
    ) -> Iterator[Protein | SetAside]:
        """Read everything, in the order of the input.

        Parameters
        ----------
        readers, labels, took
            Have other processes read the files; see `provis_fast.proteins.reading_ahead`. What
            comes is the same. Closing the iterator ends them, as does `stop_reading`.

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
        files = [item for item in self._inputs if isinstance(item, InputFile)]
        ahead = ReadingAhead(files, self._reading, readers, labels, took)
        self._ahead.add(ahead)
        try:
            yield from self._records(ahead.read)
        finally:
            ahead.close()

    def stop_reading(self) -> None:
        """End the processes that read for `records`, which then raises, in whatever thread."""
        for ahead in tuple(self._ahead):
            ahead.close()

    def _records(
        self, read: Callable[[InputFile], Iterator[Protein | SetAside]]
    ) -> Iterator[Protein | SetAside]:
        before = Duplicates()
        self._read_files = self._read_records = self.bytes_read = 0
        for item in self._inputs:
            if isinstance(item, Protein):
                before.begin_entry(False)
                yield before.once(item)
                continue
            records = 0
            before.begin_entry(self._by_sequence(item))
            try:
                for record in read(item):
                    records += 1
                    yield before.once(record) if isinstance(record, Protein) else record
            except (InputError, MemoryError) as error:
                if isinstance(error, MemoryError):
                    reason = "does not fit into memory; split the file, or use a larger machine"
                    error = InputError(reason, item.name)
                if item.held is not None:  # its path says nothing
                    error = InputError(error.reason, item.name, error.line)
                if len(self._inputs) == 1:
                    raise error from None
                records += 1
                yield SetAside(item.name, "failed", error.reason, item.name, error.line)
            self.bytes_read += file_size(item.path)
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
                if (beside := item.format.beside(item.path)) is not None:
                    digests.append(_digest(InputFile(beside, item.format, beside.name))[0])
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


def load_proteins(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Protein],
    *,
    format: str | None = None,
    unique: Unique = "auto",
    site_label: str | None = None,
    a3m_rows: A3MRows | None = None,
    plddt: Literal["auto", "b_factor", "none"] = "auto",
    min_plddt: float = 70.0,
    id_column: str | None = None,
    sequence_column: str | None = None,
) -> ProteinSource:
    """Name the proteins to analyse; files are read later, record by record.

    Parameters
    ----------
    inputs : path, or iterable of paths and Protein objects
        An iterable is gone through at once, and its Protein objects are kept in memory.
        Regular files: FASTA (.fa .fas .fasta .faa), A3M alignments (.a3m), PDB (.pdb .ent), mmCIF
        (.cif .mmcif) and BinaryCIF (.bcif), each also compressed (.gz, .zst); TAPE data sets
        (.lmdb, a file or a folder with data.mdb); ProteinNet text files (.proteinnet, or any other
        suffix or none: told by their first line); flat files, XML, JSON and TSV of UniProt (told by
        how they begin); GFF3 of proteins (.gff3 .gff); tables of one protein per row (.csv, .tsv,
        .parquet, .arrow, .feather, .arrows; see `provis_fast.proteins.columns`); prepared data sets
        (folders that `prepare` has written). Folders are searched with their sub-folders, in sorted
        order; so are patterns ("data/*.fa.gz", "data/**/*.pdb"). "@FILE" stands for the inputs that
        FILE names, one a line, relative to its folder, "#" before a comment. "-" is standard input,
        which is copied to a temporary file at once; its `format` must be given.
    format : str, optional
        Format of all files, one of `provis_fast.proteins.formats.formats()`: "fasta", "a3m", "pdb",
        "mmcif", "binarycif", "tape", "proteinnet", "uniprot", "uniprot-xml", "uniprot-json",
        "uniprot-tsv", "gff3", "csv", "parquet", ... and those of other packages. By default it is
        told from each file's name, or from how it begins.
    unique : {"auto", "sequence", "none"}
        "sequence": of several records of one file (chains of one entry) with the same sequence only
        the first is analysed. "auto" does so for structures alone.
    site_label : str, optional
        Label that ``sites`` of a TAPE data set become. By default "modification" if the data set's
        name contains "modif", else "binding_site".
    a3m_rows : {"query", "all"}, optional
        Which rows of an A3M alignment are proteins; default: the query alone.
    plddt : {"auto", "b_factor", "none"}
        Which structures are predicted ones. "auto": those that say that AlphaFold made them, or
        that have a local pLDDT (ModelCIF). "b_factor": all but those that say how they were
        determined by experiment, for other programs that write pLDDT as B-factors. "none": none.
    min_plddt : float
        Residues of predicted structures whose pLDDT is below it count as unresolved, 0 to 100.
    id_column, sequence_column : str, optional
        Columns of tables that have the ids and the sequences, where their names do not tell.

    Returns
    -------
    ProteinSource
        Iterable as often as wanted.

    Raises
    ------
    InputError
        If a path does not exist or is a pipe, if a pattern fits nothing, if a file has an unknown
        suffix, or if there is nothing to read.
    ArgumentError
        If `inputs` holds something else than paths and proteins, if `format`, `unique`, `a3m_rows`
        or `plddt` is not one of those named, or if `min_plddt` is out of range.

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
    if a3m_rows not in (None, "query", "all"):
        raise ArgumentError(f"a3m_rows must be 'query' or 'all', got {a3m_rows!r}")
    if plddt not in ("auto", "b_factor", "none"):
        raise ArgumentError(f"plddt must be 'auto', 'b_factor' or 'none', got {plddt!r}")
    if not isinstance(min_plddt, (int, float)) or not 0 <= min_plddt <= 100:
        raise ArgumentError(f"min_plddt must be a number from 0 to 100, got {min_plddt!r}")
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
            if str(item) == "-" and any(getattr(one, "held", None) for one in found):
                raise ArgumentError(
                    "inputs: expected standard input (-) once at most, got it twice"
                )
            found.extend(_named(Path(item), chosen, notes))
        else:
            raise ArgumentError(
                f"inputs must be paths or Protein objects, got {type(item).__name__}"
            )
    if not found:
        raise InputError("there are no inputs: give at least one file, folder or Protein")
    reading = Reading(
        site_label=site_label,
        a3m_rows=a3m_rows or "query",
        plddt=plddt,
        min_plddt=float(min_plddt),
        id_column=id_column,
        sequence_column=sequence_column,
    )
    return ProteinSource(told_apart(found), unique=unique, reading=reading, notes=notes)


def _named(path: Path, chosen: Format | None, notes: list[str]) -> Iterator[InputFile]:
    """Files of one input, or of all that a list (@FILE) names."""
    if not str(path).startswith("@") or path.exists():
        yield from find(path, chosen, notes)
        return
    names = Path(str(path)[1:])
    for entry, line in listed(names):
        try:
            if entry.name == "-":
                raise InputError("standard input cannot be named in a list")
            yield from find(entry, chosen, notes)
        except InputError as error:
            what = error.reason if error.path is None else f"{error.path}: {error.reason}"
            raise InputError(what, names, line) from error


def _digest(item: InputFile) -> tuple[dict[str, Any], int | None]:
    """What identifies a file, and how many records it has where that is cheap to tell."""
    if item.format.name == "prepared":
        return prepared.digest(item.path, item.name), prepared.count(item.path)
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
