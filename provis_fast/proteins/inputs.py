"""Find the files of an input: their formats, and names that tell them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from provis_fast.errors import InputError
from provis_fast.proteins import prepared_manifest as prepared
from provis_fast.proteins.formats import Format, formats, suffixes
from provis_fast.proteins.opening import first_bytes, without_compression
from provis_fast.proteins.record import Protein


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
    if str(path) == "-" and not path.exists():
        raise InputError("standard input is not read: write it to a file first", path)
    if not path.exists():
        raise InputError("no such file or folder", path)
    _check_regular(path)
    if path.is_dir() and not _is_one_input(path):
        entries = list(_walk(path))
        files = [
            InputFile(file, kind, file.relative_to(path).as_posix())
            for file in entries
            if (kind := _format_of(file, file_format)) is not None and _is_regular(file)
        ]
        if others := sorted({file.name for file in entries} - {file.path.name for file in files}):
            number = len(entries) - len(files)
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            notes.append(f"{path.name or path}: {number:,} other file(s) not read: {shown}")
        for file in files:
            if file.format.name == "prepared":
                notes.extend(prepared.notes(file.path))
        if not files:
            raise InputError(
                f"the folder has no file of a known kind ({' '.join(suffixes())}, also .gz)", path
            )
        return files
    kind = file_format or _format_of(path, None)
    if kind is None:
        raise InputError(
            f"unknown kind of file: expected {' '.join(suffixes())} (also .gz), or ProteinNet's "
            "text; say which it is with format= (--format)",
            path,
        )
    if kind.name == "prepared":
        notes.extend(prepared.notes(path))
    return [InputFile(path, kind, path.name)]


def _is_regular(path: Path) -> bool:
    return path.is_file() or path.is_dir() or not path.exists()


def _check_regular(path: Path) -> None:
    """Refuse pipes and devices: an input is read twice, once for its digest, and they empty."""
    if _is_regular(path):
        return
    what = "pipe" if path.is_fifo() else "socket" if path.is_socket() else "device"
    raise InputError(f"is a {what}, not a file: write its content to a file first", path)


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
