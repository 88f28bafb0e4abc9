"""Features of proteins in GFF3, as UniProt and InterProScan write them.

The sequences are those of the file's ``##FASTA`` section; of a file without one, those of a FASTA
file beside it that has the same name but for its ending. A protein without a sequence fails.

The format puts all features before the sequences: those whose kind is used are held in memory until
their sequence comes, `MAX_HELD` at the most. The sequences are read as a stream.

Types are UniProt's (see `provis_fast.proteins.features`; with spaces or underscores). Of
InterProScan's matches, those of MobiDB-lite are disordered, of Coils coiled coils, of TMHMM and
DeepTMHMM and Phobius' TRANSMEMBRANE transmembrane, and of SignalP and Phobius' SIGNAL_PEPTIDE
signal peptides; signatures of families and domains are not told apart there, and not used. Lines of
the same ID are parts of one feature: if one part cannot be used, none is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from provis_fast.errors import InputError
from provis_fast.proteins import fasta
from provis_fast.proteins.features import Entry, Feature, RecordError, key_of, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import DAMAGED, is_compressed, open_text, without_compression
from provis_fast.proteins.record import Protein, SetAside

#: Proteins and features that are held until the sequences come: some 1 GB.
MAX_HELD = 5_000_000

_MAX_LINE = 1 << 20
_MAX_LOCATION = 10_000  # characters of the location of a feature in parts
_MARK = b"##gff-version"
_BESIDE = (".fa", ".fas", ".fasta", ".faa")
_COMPRESSED = ("", ".gz", ".zst")
#: Types by which annotations of genomes are known.
_OF_NUCLEOTIDES = frozenset("gene mRNA exon CDS transcript tRNA rRNA chromosome contig".split())
#: InterProScan's types of a match.
_MATCHES = ("protein_match", "protein_hmm_match", "match", "polypeptide_region")


def begins(head: bytes) -> bool:
    """Whether a file begins like GFF3."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_MARK)


def companion(path: Path) -> Path | None:
    """The FASTA file that has the sequences of a GFF3 file without them, if there is one.

    A plain file that ends with sequences has its own; of a compressed one that is not known, and it
    is taken for one without.
    """
    if _ends_with_sequence(path):
        return None
    name = path.name[: len(without_compression(path.name.lower()))]
    stem = Path(name).stem
    for suffix in _BESIDE:
        for compressed in _COMPRESSED:
            beside = path.with_name(f"{stem}{suffix}{compressed}")
            if beside.is_file():
                return beside
    return None


def _ends_with_sequence(path: Path) -> bool:
    if is_compressed(path):
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - 4096))
            last = stream.read().rstrip().rpartition(b"\n")[2]
    except OSError:
        return False
    return b"\t" not in last and not last.startswith(b"#")


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a GFF3 file of proteins.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading
        The format needs none itself; the FASTA file beside it may.

    Yields
    ------
    Protein or SetAside
        In the order of the sequences, then those without one. A protein with a bad line is set
        aside with that line.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty or no GFF3, annotates nucleotides, or has more than
        `MAX_HELD` features.
    """
    held: dict[str, _Held] = {}
    try:
        with open_text(path) as stream:
            lines = bounded_lines(stream, _MAX_LINE)
            header, cut = _read_features(lines, held, path)
            if header is not None:
                yield from _sequences(header, lines, held, source)
                missing = "its ##FASTA section has no sequence of this name"
            elif cut is None and (beside := companion(path)) is not None:
                # Its lines are counted in that file, and what it is called goes with them.
                name = str(PurePosixPath(source).with_name(beside.name))
                for record in fasta.read(beside, name, reading):
                    yield _with_features(record, held, source)
                missing = f"{beside.name} has no sequence of this name"
            else:
                missing = cut or (
                    "the file has no ##FASTA section, and no FASTA file of its name "
                    f"({' '.join(_BESIDE)}) lies beside it"
                )
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error
    for entry in held.values():
        entry.fail(RecordError(f"expected the protein's sequence, but {missing}"))
        yield entry.record(source)


class _Held(Entry):
    """An entry whose features are known, and whose sequence is not."""

    def __init__(self, name: str, line: int | None):
        super().__init__(f"line {line}", line)
        try:
            self.name(name)
        except RecordError as error:
            self.fail(error)
        self.parts: dict[tuple[str, str], int] = {}  # type and ID: number of the feature


def _read_features(
    lines: Iterator[tuple[int, bytes]], held: dict[str, _Held], path: Path
) -> tuple[tuple[int, bytes] | None, str | None]:
    """Read up to the sequences: the first line of these, or None; and why the file is cut off."""
    number = number_held = 0
    any_line = False
    try:
        for number, line in lines:
            if number == 1 and not begins(line):
                raise InputError(
                    f"not GFF3: expected a first line '##gff-version 3', got {line[:40]!r}",
                    path,
                    number,
                )
            if line.startswith(b">") or line.rstrip() == b"##FASTA":
                return (number, line), None
            if line.startswith(b"#"):
                if line.startswith(b"##sequence-region"):
                    any_line = True
                    _read_region(number, line, held)
            elif line.strip():
                any_line = True
                number_held += _read_line(number, line, held, path)
            if number_held + len(held) > MAX_HELD:
                raise InputError(
                    f"has more than {MAX_HELD:,} features and proteins before their sequences, "
                    "which have to be held in memory: split the file",
                    path,
                    number,
                )
    except DAMAGED as error:
        if not held:
            raise InputError(f"damaged compressed file: {error}", path, number or None) from error
        return None, f"the compressed file is damaged or cut off: {error}"
    if not any_line:
        raise InputError("the file has neither features nor sequences: it is empty", path)
    return None, None


def _held(held: dict[str, _Held], name: str, line: int) -> _Held:
    if name not in held:
        held[name] = _Held(name, line)
    return held[name]


def _read_region(number: int, line: bytes, held: dict[str, _Held]) -> None:
    """``##sequence-region NAME 1 393`` tells how long a protein is."""
    words = line.decode("utf-8", "replace").split()
    if len(words) == 4 and words[3].isascii() and words[3].isdigit() and len(words[3]) < 10:
        _held(held, unquote(words[1]), number).stated_length = int(words[3])


def _read_line(number: int, line: bytes, held: dict[str, _Held], path: Path) -> bool:
    """Read a feature; whether it was kept."""
    cells = line[:_MAX_LINE].decode("utf-8", "replace").rstrip("\r\n").split("\t")
    name = unquote(cells[0]).strip()
    entry = _held(held, name, number)
    try:
        if not name or len(cells) != 9 or len(line) > _MAX_LINE:
            raise RecordError(
                f"expected nine columns with tabs between them, got {len(cells)}: {line[:40]!r}"
            )
        kind = unquote(cells[2]).strip()
        if kind in _OF_NUCLEOTIDES:
            raise InputError(
                f"annotates nucleotides: expected features of proteins, got {kind!r}; give the "
                "proteins' own GFF3, as UniProt and InterProScan write it",
                path,
                number,
            )
        return _add(entry, kind, cells)
    except RecordError as error:
        error.line = number
        entry.fail(error)
        return False


def _add(entry: _Held, kind: str, cells: list[str]) -> bool:
    if entry.failed is not None:
        return False
    attributes = _attributes(cells[8])
    note = attributes.get("Note", "")
    if kind in _MATCHES:
        kind, note = _kind_of_match(cells[1], attributes)
    start, end = (unquote(cell).strip().replace(".", "?") or "?" for cell in cells[3:5])
    location = start if start == end else f"{start}..{end}"
    key, feature_id = key_of(kind), attributes.get("ID", "")
    at = entry.parts.get((kind, feature_id)) if feature_id else None
    if at is not None and key is not None:
        before = entry.features[at].location
        if len(before) > _MAX_LOCATION:
            raise RecordError(f"has too many lines of the feature with the ID {feature_id[:40]!r}")
        entry.features[at] = Feature(key, f"{before},{location}")
        return True
    number = len(entry.features)
    entry.add_feature(kind, location, note)
    if len(entry.features) == number:
        return False
    if feature_id:
        entry.parts[kind, feature_id] = number
    return True


def _attributes(text: str) -> dict[str, str]:
    """ID and Note, unescaped; the others are not needed, but for InterProScan's Name."""
    found = {}
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name in ("ID", "Note", "Name"):
            found[name] = unquote(value)
    return found


def _kind_of_match(program: str, attributes: dict[str, str]) -> tuple[str, str]:
    """UniProt's type, and note, of what a program of InterProScan has found; "" of most."""
    program = program.strip().lower().replace("-", "").replace("_", "")
    name = attributes.get("Name", "").upper()
    if program.startswith("mobidb"):
        return "REGION", "Disordered"
    if program == "coils":
        return "COILED", ""
    if program in ("tmhmm", "deeptmhmm") or (program == "phobius" and name == "TRANSMEMBRANE"):
        return "TRANSMEM", ""
    if program.startswith("signalp") or (program == "phobius" and name == "SIGNAL_PEPTIDE"):
        return "SIGNAL", ""
    return "", ""


def _with_features(
    record: Protein | SetAside, held: dict[str, _Held], source: str
) -> Protein | SetAside:
    """A record of the FASTA file beside, with its features."""
    entry = held.pop(record.id, None)
    if isinstance(record, SetAside) or entry is None:
        return record
    try:
        entry.add_sequence(record.sequence)
    except RecordError as error:
        entry.fail(error)
    return entry.record(source)


def _sequences(
    header: tuple[int, bytes],
    lines: Iterator[tuple[int, bytes]],
    held: dict[str, _Held],
    source: str,
) -> Iterator[Protein | SetAside]:
    """Records of the ##FASTA section, whose first line is already read."""
    entry: _Held | None = None
    number, line = header
    size = 0
    try:
        while True:
            if line.startswith(b">"):
                if entry is not None:
                    yield entry.record(source)
                words = line[1 : 1 << 12].split(None, 1)
                name = words[0].decode("utf-8", "replace") if words else ""
                entry, size = held.pop(name, None) or _Held(name, number), 0
                if entry.failed is None:
                    entry.line = number
            elif entry is not None:
                size += len(line)
                try:
                    if size > MAX_RECORD_BYTES or len(line) > _MAX_LINE:
                        raise too_large()
                    if not line.startswith(b";"):
                        entry.add_sequence(line.decode("utf-8", "replace"))
                except RecordError as error:
                    error.line = number
                    entry.fail(error)
            following = next(lines, None)
            if following is None:
                break
            number, line = following
    except DAMAGED as error:
        entry = entry or _Held("", number)
        entry.fail(RecordError(f"the compressed file is damaged or cut off: {error}"))
    if entry is not None:
        yield entry.record(source)
