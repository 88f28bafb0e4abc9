"""File formats by name: how a file of each is known, and what reads it.

A format from outside is one object more, announced by an installed package as an entry point of
the group ``provis_fast.formats``:

    [project.entry-points."provis_fast.formats"]
    stockholm = "my_package.stockholm:FORMAT"

where FORMAT is a `Format`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal

from provis_fast.announced import loaded, said_by
from provis_fast.errors import ArgumentError
from provis_fast.proteins.record import Protein, SetAside

#: Group of entry points by which other packages add formats.
GROUP = "provis_fast.formats"


A3MRows = Literal["query", "all"]


@dataclass(frozen=True)
class Reading:
    """How to read, as far as the files do not tell; every reader gets it and takes what it needs.

    Attributes
    ----------
    site_label : str, optional
        Label that ``sites`` of a TAPE data set become; default: told by its name.
    a3m_rows : {"query", "all"}
        Which rows of an A3M alignment are proteins.
    plddt : {"auto", "b_factor", "none"}
        Which structures have pLDDT: those that say so, all but experimental ones, none.
    min_plddt : float
        Residues of predicted structures below it count as unresolved.
    id_column, sequence_column : str, optional
        Columns of tables that have the ids and the sequences; see `provis_fast.proteins.columns`.
    """

    site_label: str | None = None
    a3m_rows: A3MRows = "query"
    plddt: Literal["auto", "b_factor", "none"] = "auto"
    min_plddt: float = 70.0
    id_column: str | None = None
    sequence_column: str | None = None


#: Reads one file, as a stream: called with the path, its name in messages, and how to read.
Reader = Callable[[Path, str, Reading], Iterator[Protein | SetAside]]


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes
    ----------
    name : str
        As ``--format`` takes it.
    suffixes : tuple of str
        Endings of file names, lower case, with their dot; those of compression come on top.
    reader : callable or str
        A `Reader`, or "module:name" of one, imported when first needed. It yields records in the
        file's order, sets a bad one aside with its line and reason, and raises InputError where the
        file is of no use as a whole.
    record_start : bytes, optional
        How the first line of each record begins: by it, records are counted without being parsed.
    begins : callable, optional
        Tells from the first 512 bytes whether a file without a known suffix is of this format.
    compressible : bool
        Whether files may be compressed (.gz, .zst).
    one_entry : bool
        A file is one entry, and its records are chains: equal sequences are analysed once.
    companion : callable, optional
        The other file that the reader opens for one of this format, None where there is none.
    general : bool
        The suffix says little: a file that begins as another format does is of that one.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: Reader | str
    record_start: bytes | None = None
    begins: Callable[[bytes], bool] | None = None
    compressible: bool = True
    one_entry: bool = False
    companion: Callable[[Path], Path | None] | None = None
    general: bool = False

    def read(self, path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
        """Records of one file."""
        return _reader(self.reader)(path, source, reading)

    def beside(self, path: Path) -> Path | None:
        """The other file that is read along with one, if there is any."""
        return None if self.companion is None else self.companion(path)


@cache
def _reader(reader: Reader | str) -> Reader:
    if not isinstance(reader, str):
        return reader
    module, _, name = reader.partition(":")
    return getattr(importlib.import_module(module), name)


_READERS = "provis_fast.proteins"


def _begins(module: str) -> Callable[[bytes], bool]:
    """The function ``begins`` of a reader's module, imported when first called."""
    return lambda head: _reader(f"{_READERS}.{module}:begins")(head)


#: Formats of this package, in the order in which messages list them.
BUILT_IN = (
    Format("fasta", (".fa", ".fas", ".fasta", ".faa"), f"{_READERS}.fasta:read", b">"),
    Format("a3m", (".a3m",), f"{_READERS}.a3m:read"),
    Format("pdb", (".pdb", ".ent"), f"{_READERS}.structure:read_pdb", one_entry=True),
    Format("mmcif", (".cif", ".mmcif"), f"{_READERS}.structure:read_mmcif", one_entry=True),
    Format("binarycif", (".bcif",), f"{_READERS}.binary_cif:read", one_entry=True),
    Format("tape", (".lmdb",), f"{_READERS}.tape_lmdb:read", compressible=False),
    Format(
        "proteinnet",
        (".proteinnet",),
        f"{_READERS}.proteinnet:read",
        record_start=b"[ID]",
        begins=lambda head: head.startswith(b"[ID]"),
    ),
    Format(
        "uniprot",
        (),
        f"{_READERS}.uniprot_text:read",
        record_start=b"ID   ",
        begins=_begins("uniprot_text"),
    ),
    Format("uniprot-xml", (), f"{_READERS}.uniprot_xml:read", begins=_begins("uniprot_xml")),
    Format("uniprot-json", (), f"{_READERS}.uniprot_json:read", begins=_begins("uniprot_json")),
    Format("uniprot-tsv", (), f"{_READERS}.uniprot_tsv:read", begins=_begins("uniprot_tsv")),
    Format(
        "gff3",
        (".gff3", ".gff"),
        f"{_READERS}.gff3:read",
        begins=_begins("gff3"),
        companion=lambda path: _reader(f"{_READERS}.gff3:companion")(path),
    ),
    Format("csv", (".csv",), f"{_READERS}.table_files:read_csv", general=True),
    Format("tsv", (".tsv",), f"{_READERS}.table_files:read_tsv", general=True),
    Format(
        "parquet",
        (".parquet",),
        f"{_READERS}.arrow_files:read_parquet",
        begins=lambda head: head.startswith(b"PAR1"),
        compressible=False,
    ),
    Format(
        "arrow",
        (".arrow", ".feather", ".arrows"),
        f"{_READERS}.arrow_files:read_arrow",
        begins=lambda head: head.startswith(b"ARROW1"),
    ),
    Format("prepared", (), f"{_READERS}.prepared:read", compressible=False),
)


@cache
def formats() -> dict[str, Format]:
    """All formats by name: those of this package, then those of others.

    Raises
    ------
    ArgumentError
        Another package announces something else than a `Format`, or takes a name or a suffix that
        is another format's; the message names the package.
    """
    known = {one.name: one for one in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        known[point.name] = _from_outside(point, known)
    return known


def _from_outside(point: EntryPoint, known: dict[str, Format]) -> Format:
    found = loaded(point)
    if not isinstance(found, Format) or found.name != point.name:
        raise ArgumentError(
            f"{said_by(point)}: expected a provis_fast.proteins.formats.Format of that name, got "
            f"{found!r:.80}"
        )
    taken = {suffix: other for other in known.values() for suffix in other.suffixes}
    if found.name in known or (both := sorted(taken.keys() & set(found.suffixes))):
        what = f"the name {found.name!r}" if found.name in known else f"the suffix {both[0]}"
        raise ArgumentError(f"{said_by(point)}: {what} is another format's already")
    return found


def suffixes() -> dict[str, Format]:
    """Formats by suffix."""
    return {suffix: one for one in formats().values() for suffix in one.suffixes}
