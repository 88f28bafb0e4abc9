"""Whether a text file of a structure is whole: parsers read what there is, and say nothing."""

from __future__ import annotations

import re
from pathlib import Path

from provis_fast.errors import InputError

#: Coordinates of an ATOM record end here; gemmi needs them whole.
_LAST_COORDINATE_COLUMN = 54
#: A coordinate as nearly all files write it, in 8 columns.
_USUAL = rb"(?:   |  [-\d]| [-\d]\d|[-\d]\d\d)\d\.\d{3}"
#: Atoms with coordinates of any other form, which are looked at one by one.
_UNUSUAL_ATOM = re.compile(
    rb"^(?:ATOM  |HETATM)(?![^\n]{24}(?:" + _USUAL + rb"){3})"
    rb"[^\n]{24}([^\n]{8})([^\n]{8})([^\n]{8})",
    re.MULTILINE,
)


def check_pdb_is_complete(raw: bytes, path: Path) -> None:
    """Refuse a PDB file that ends too early; without this gemmi would read what there is."""
    last_start = raw.rstrip(b"\r\n").rfind(b"\n") + 1
    last = raw[last_start:].rstrip(b"\r\n")
    line = raw.count(b"\n", 0, last_start) + 1
    if last.startswith((b"ATOM", b"HETATM")) and len(last) < _LAST_COORDINATE_COLUMN:
        raise InputError("the file is cut off within an ATOM record", path, line)
    if (b"\n" + raw).count(b"\nMODEL") > raw.count(b"\nENDMDL"):
        raise InputError("the file is cut off: a MODEL without its ENDMDL", path, line)
    # Files with a HEADER follow the wwPDB format, where END is mandatory; pieces of files and
    # output of programs mostly have neither.
    if raw.startswith(b"HEADER") and not re.search(rb"^END\s*$", raw[last_start:]):
        raise InputError(
            "the file is cut off: it begins with HEADER but does not finish with END; if it is "
            "complete, add that line",
            path,
            line,
        )


def check_pdb_coordinates(raw: bytes, path: Path) -> None:
    """Refuse coordinates that are no numbers, which gemmi would read as 0."""
    for atom in _UNUSUAL_ATOM.finditer(raw):
        try:
            for field in atom.groups():
                float(field)
        except ValueError:
            raise InputError(
                "expected three coordinates in columns 31 to 54, got "
                f"{b''.join(atom.groups()).decode('latin-1')!r}; correct or remove the atom",
                path,
                raw.count(b"\n", 0, atom.start()) + 1,
            ) from None


def check_mmcif_is_complete(raw: bytes, path: Path) -> None:
    """Refuse an mmCIF file cut between two lines of a table.

    The wwPDB's and most programs' files have a line ``#`` after the first line and after every
    table, the last one included; only in such files can the cut be seen.
    """
    lines = raw[:4096].split(b"\n", 2)
    end = raw[-4096:].rstrip()  # the whole would be copied
    last = (end if b"\n" in end else raw.rstrip()).rsplit(b"\n", 1)[-1]
    if len(lines) > 1 and lines[1].strip() == b"#" and last.strip() != b"#":
        raise InputError(
            "the file is cut off: its tables end with '#', the last one does not; if it is "
            "complete, add that line",
            path,
            raw.rstrip().count(b"\n") + 1,
        )
