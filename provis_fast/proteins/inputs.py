"""Find the files of an input: their formats, and names that tell them apart."""

from __future__ import annotations

import fnmatch
import glob
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from provis_fast.errors import InputError
from provis_fast.proteins import prepared_manifest as prepared
from provis_fast.proteins.formats import Format, formats, suffixes
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import first_bytes, without_compression
from provis_fast.proteins.record import Protein

#: What standard input is called in records.
STANDARD_INPUT = "stdin"
#: Bytes of a line that names a file; Linux allows 4,096 of a path.
_LONGEST_PATH = 1 << 16


@dataclass(frozen=True)
class InputFile:
    """A file, its format, and the name by which records refer to it.

    The name is the file's own, or its path inside the folder that was given, so that results do not
    depend on where the data lie. Where two inputs would be called the same, as many of the folders
    above them are named as tell them apart.
    """

    path: Path
    format: Format
    name: str
    #: What has to stay open for as long as the file is in use.
    held: Any = field(default=None, compare=False, repr=False)


def told_apart(inputs: list[InputFile | Protein]) -> list[InputFile | Protein]:
    """Give files of the same name longer ones."""
    files = [item for item in inputs if isinstance(item, InputFile)]
    names = {file: file.name for file in files}
    if len(set(names.values())) == len(names):
        return inputs
    places = {file: file.path.resolve() for file in files}  # one file may be spelt in two ways
    for length in range(1, max(len(place.parts) for place in places.values())):
        paths_of: dict[str, set[Path]] = {}
        for file, name in names.items():
            paths_of.setdefault(name, set()).add(places[file])
        shared = [file for file, name in names.items() if len(paths_of[name]) > 1]
        if not shared:
            break
        for file in shared:
            parts = places[file].parts[1:]  # no root
            names[file] = "/".join(parts[-length - len(Path(file.name).parts) :])
    return [
        replace(item, name=names[item]) if isinstance(item, InputFile) else item for item in inputs
    ]


def find(path: Path, file_format: Format | None, notes: list[str]) -> list[InputFile]:
    """Files of one input.

    Parameters
    ----------
    path : Path
        A file, a folder, a pattern (``*``, ``?``, ``[...]`` and ``**``), or "-": standard input.
    file_format : Format, optional
        Of all files; by default told from each one's name.
    notes : list of str
        What is not read is added here.

    Raises
    ------
    InputError
        There is nothing to read, or nothing that can be.
    """
    if str(path) == "-" and not path.exists():
        return [_standard_input(file_format)]
    if not path.exists():
        if glob.has_magic(str(path)):
            return _matching(path, file_format, notes)
        raise InputError("no such file or folder", path)
    _check_regular(path)
    if path.is_dir() and not _is_one_input(path):
        found = _of_a_known_kind(
            list(_walk(path)), path, str(path.name or path), file_format, notes
        )
        if not found:
            raise InputError(
                f"the folder has no file of a known kind ({' '.join(suffixes())}, also .gz and "
                ".zst)",
                path,
            )
        return found
    kind = file_format or _format_of(path, None)
    if kind is None:
        raise InputError(
            f"unknown kind of file: expected {' '.join(suffixes())} (also .gz and .zst), or a file "
            "that begins as ProteinNet's text or UniProt's downloads do; say which it is with "
            "format= (--format)",
            path,
        )
    if kind.name == "prepared":
        notes.extend(prepared.notes(path))
    return [InputFile(path, kind, path.name)]


def listed(path: Path) -> Iterator[tuple[Path, int]]:
    """Inputs that a text file names, one a line; ``#`` begins a comment line.

    Yields
    ------
    input : Path
        Relative ones are relative to the file's folder.
    line : int

    Raises
    ------
    InputError
        The file cannot be read, is no text, or names nothing.
    """
    _check_regular(path)
    n = 0
    try:
        with path.open("rb") as stream:
            for line, content in bounded_lines(stream, _LONGEST_PATH):
                try:
                    name = content.decode("utf-8").strip()
                except UnicodeDecodeError:
                    name = "\0"
                if len(content) > _LONGEST_PATH or "\0" in name:
                    raise InputError(
                        f"expected the path of a file or folder on each line, got {content[:40]!r}",
                        path,
                        line,
                    )
                if name and not name.startswith("#"):
                    n += 1
                    yield path.parent / name, line
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error
    if not n:
        raise InputError("the list of inputs names none", path)


def _matching(pattern: Path, file_format: Format | None, notes: list[str]) -> list[InputFile]:
    """Files that fit a pattern, named from the last folder on that the pattern spells out."""
    found = sorted(_fitting(pattern))
    if not found:
        raise InputError("no file fits this pattern; check its spelling and the folder", pattern)
    folders = [path for path in found if path.is_dir() and not _is_one_input(path)]
    if folders and "**" not in pattern.parts:
        notes.append(
            f"{pattern}: {len(folders):,} folder(s) that fit are not searched; write ** for that"
        )
    # What lies in the folder of an LMDB or a prepared data set is not a file of its own.
    files = [path for path in found if path not in folders and not _is_one_input(path.parent)]
    root = _spelt_out(pattern)
    if file_format is not None:  # they are named one by one, as it were
        for file in files:
            _check_regular(file)
        return [InputFile(file, file_format, file.relative_to(root).as_posix()) for file in files]
    kept = _of_a_known_kind(files, root, str(pattern), None, notes)
    if not kept:
        raise InputError(
            f"no file that fits this pattern is of a known kind ({' '.join(suffixes())}, also .gz "
            "and .zst); say which it is with format= (--format)",
            pattern,
        )
    return kept


def _spelt_out(pattern: Path) -> Path:
    """The folder up to the first wildcard."""
    plain = list(pattern.parts[:-1])
    while any(glob.has_magic(part) for part in plain):
        plain.pop()
    return Path(*plain)


def _fitting(pattern: Path) -> set[Path]:
    """Files and folders that fit a pattern, hidden ones not unless it says so."""
    if "**" not in pattern.parts:
        return {Path(name) for name in glob.iglob(str(pattern))}
    # Path.glob does not follow links by "**", where links in a circle would have no end.
    root = _spelt_out(pattern)
    parts = [p if p == "**" else re.sub(r"\*\*+", "*", p) for p in pattern.parts[len(root.parts) :]]
    if parts[-1] == "**":
        parts.append("*")
    hidden = [part for part in parts if part.startswith(".")]

    def told(name: str) -> bool:
        return not name.startswith(".") or any(fnmatch.fnmatchcase(name, one) for one in hidden)

    found = root.glob("/".join(parts))
    return {path for path in found if all(map(told, path.relative_to(root).parts))}


def _of_a_known_kind(
    entries: list[Path], folder: Path, title: str, file_format: Format | None, notes: list[str]
) -> list[InputFile]:
    """Those of many files that can be read; a note tells of the others."""
    files = [
        InputFile(file, kind, file.relative_to(folder).as_posix())
        for file in entries
        if (kind := _format_of(file, file_format)) is not None and _is_regular(file)
    ]
    if others := sorted({file.name for file in entries} - {file.path.name for file in files}):
        number = len(entries) - len(files)
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(f"{title}: {number:,} other file(s) not read: {shown}")
    read_along = {item.format.beside(item.path): item.name for item in files}
    for item in [item for item in files if item.path in read_along]:
        files.remove(item)
        notes.append(f"{item.name}: not read apart, but with {read_along[item.path]}")
    for item in files:
        if item.format.name == "prepared":
            notes.extend(prepared.notes(item.path))
    return files


def _standard_input(file_format: Format | None) -> InputFile:
    """Copy standard input to a file that has no name any more, and is gone with the process.

    It is needed twice, for its digest and for its records, and may not fit into memory.
    """
    if file_format is None:
        raise InputError(
            "say which format standard input has, with format= (--format): there is no file name "
            "to tell it",
            STANDARD_INPUT,
        )
    if not file_format.compressible:
        raise InputError(
            f"a file of the format {file_format.name} is mapped into memory, and cannot come from "
            "standard input; give its path",
            STANDARD_INPUT,
        )
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("is a terminal or closed: pipe a file into it", STANDARD_INPUT)
    copy = tempfile.TemporaryFile()
    try:
        shutil.copyfileobj(sys.stdin.buffer, copy, 1 << 20)
        copy.flush()
    except OSError as error:
        raise InputError(
            f"cannot be copied to a temporary file in {tempfile.gettempdir()}: "
            f"{error.strerror or error}; make room there, or set TMPDIR",
            STANDARD_INPUT,
        ) from error
    return InputFile(Path(f"/dev/fd/{copy.fileno()}"), file_format, STANDARD_INPUT, copy)


def _is_regular(path: Path) -> bool:
    return path.is_file() or path.is_dir() or not path.exists()


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices: an input is read twice, once for its digest, and they empty."""
    if _is_regular(path):
        return
    what = "pipe" if path.is_fifo() else "socket" if path.is_socket() else "device"
    raise InputError(
        f"is a {what}, not a file: pipe its content in and name it - (with its format), or write "
        "it to a file first",
        path,
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files and data sets in sorted order; hidden ones and other folders' links not."""
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not _is_one_input(entry):
            if not entry.is_symlink():
                yield from _walk(entry)
        else:
            yield entry


def _is_one_input(path: Path) -> bool:
    """Whether a folder is a data set as a whole."""
    return (path / "data.mdb").is_file() or prepared.is_prepared(path)


def _format_of(path: Path, file_format: Format | None) -> Format | None:
    """Tell the format from the name; a stated format chooses, in a folder, what is read as such.

    Files of some formats have names without a suffix, as ProteinNet's own ("training_30"): they are
    told by how they begin.
    """
    if path.is_dir():
        known: Format | None = formats()["prepared" if prepared.is_prepared(path) else "tape"]
    else:
        name = without_compression(path.name.lower())
        known = suffixes().get(Path(name).suffix)
        if known is not None and not known.compressible and name != path.name.lower():
            known = None  # it is mapped into memory, and cannot be compressed
        if (known is None or known.general) and path.is_file():
            head = first_bytes(path)
            told = (one for one in formats().values() if one.begins and one.begins(head))
            known = next(told, known)
    return known if file_format in (None, known) else None
