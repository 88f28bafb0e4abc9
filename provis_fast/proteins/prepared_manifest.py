"""Prepared data sets: proteins read, checked and labelled once, and read back many times.

`provis_fast.prepare` writes one from any input. It is a folder:

``manifest.json``
    ``format``, ``format_version``; ``versions`` of what made it; ``options``; ``inputs`` (path,
    sha256, bytes) and ``notes`` on them; ``records`` (read = kept + skipped + failed; residues);
    ``columns`` (labels with their classes where these have names, values, text); ``contacts``
    (atom, cutoff in Angstrom, separation) and ``coordinates``; ``parts`` (file, sha256, bytes,
    number of its first record from 1, records, residues); ``set_aside`` (file, sha256, bytes,
    records).
``failed.tsv``
    Records that were skipped or have failed: number from 1, id, status, file, line, reason.
    Backslash, tab and line end within a field are written ``\\\\``, ``\\t``, ``\\n``, ``\\r``.
``part-00000.arrow``, ...
    Proteins in Arrow's IPC format, in the order of the input; see
    `provis_fast.proteins.prepared_parts`. Mapped into memory when they are read.

An analysis of the data set gives what one of its input gives. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from provis_fast.errors import InputError

FORMAT = "provis_fast.prepared"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
SET_ASIDE = "failed.tsv"
#: The manifest says within so many bytes what it is of; results have a file of that name too.
_HEAD = 256
_FIRST_PART = "part-00000.arrow"
#: What to do about a data set that is not as it was written.
RESTORE = "restore it from a copy, or prepare the data set again"


class ContactDefinition(NamedTuple):
    """What the contacts of a data set are; see `provis_fast.properties.Contact`."""

    atom: str
    cutoff: float
    separation: int


class Part(NamedTuple):
    """What the manifest says of a part."""

    file: str
    sha256: str
    bytes: int
    first: int
    records: int
    residues: int


class Manifest(NamedTuple):
    """What reading needs of a manifest; `content` is all of it."""

    content: dict[str, Any]
    sha256: str
    parts: tuple[Part, ...]
    contacts: ContactDefinition | None
    read: int
    n_set_aside: int


def is_prepared(path: Path) -> bool:
    """Whether a folder is a prepared data set, be it a damaged one."""
    try:
        with open(path / MANIFEST, "rb") as stream:
            return FORMAT.encode() in stream.read(_HEAD) or (path / _FIRST_PART).is_file()
    except OSError:
        return False


def count(path: Path) -> int | None:
    """Records of a prepared data set; None where it cannot be read, which `read` will explain."""
    try:
        return read_manifest(path).read
    except InputError:
        return None


def digest(path: Path, name: str) -> dict[str, Any]:
    """What identifies a prepared data set, and the input that it was made of.

    Returns
    -------
    dict
        ``path``; ``sha256`` of its manifest, which has the digests of all other files; ``bytes`` of
        all files together; ``prepared_from``: the digests of the input.
    """
    try:
        manifest = read_manifest(path)
        size = (path / MANIFEST).stat().st_size
    except (InputError, OSError) as error:
        why = error.reason if isinstance(error, InputError) else str(error.strerror or error)
        return {"path": name, "sha256": None, "bytes": None, "error": why}
    size += sum(part.bytes for part in manifest.parts) + manifest.content["set_aside"]["bytes"]
    return {
        "path": name,
        "sha256": manifest.sha256,
        "bytes": size,
        "prepared_from": manifest.content["inputs"],
    }


def notes(path: Path) -> list[str]:
    """Notes on the input that was prepared; none where the manifest cannot be read."""
    try:
        return list(read_manifest(path).content["notes"])
    except InputError:
        return []


def reading_of(path: Path) -> dict[str, tuple[str, ...]]:
    """Options by which the input was read that was prepared; none where nothing tells."""
    try:
        given = read_manifest(path).content["options"].get("reading")
    except InputError:
        return {}
    if not isinstance(given, dict):
        return {}
    return {name: tuple(map(str, v)) for name, v in given.items() if isinstance(v, list)}


def read_manifest(path: Path) -> Manifest:
    """The manifest of a data set of this format's version.

    Raises
    ------
    InputError
        There is none, or it is of another version or damaged.
    """
    place = path / MANIFEST
    try:
        about = place.stat()
        return _manifest(place, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", place) from error


@lru_cache(maxsize=8)
def _manifest(place: Path, modified: int, size: int) -> Manifest:
    raw = place.read_bytes()
    try:
        content = json.loads(raw)
        kind = content["format"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise InputError(
            f"not the manifest of a prepared data set, or damaged ({type(error).__name__}: "
            f"{error}); {RESTORE}",
            place,
        ) from error
    if kind != FORMAT:
        raise InputError(f'expected "format": "{FORMAT}", got {kind!r:.60}', place)
    if content.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"version {content.get('format_version')!r:.40} of prepared data sets is not known, "
            f"this provis_fast reads version {FORMAT_VERSION}; prepare the input again, or use the "
            f"release that wrote it: {content.get('versions')!r:.200}",
            place,
        )
    try:
        parts = tuple(_part_entry(entry) for entry in content["parts"])
        contacts = content["contacts"]
        if contacts is not None:
            atom, cutoff = contacts["atom"], float(contacts["cutoff"])
            contacts = ContactDefinition(str(atom), cutoff, int(contacts["separation"]))
        aside = content["set_aside"]
        _part_entry(aside | {"first": 0, "residues": 0})
        read, kept = int(content["records"]["read"]), int(content["records"]["kept"])
        for name, type_ in (("inputs", list), ("notes", list), ("options", dict)):
            if not isinstance(content[name], type_):
                raise TypeError(f"{name}: got {content[name]!r:.40}")
        if kept != sum(part.records for part in parts) or read != kept + aside["records"]:
            raise ValueError("its numbers of records contradict each other")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"incomplete or damaged ({type(error).__name__}: {error}); {RESTORE}", place
        ) from error
    return Manifest(
        content, hashlib.sha256(raw).hexdigest(), parts, contacts, read, aside["records"]
    )


def _part_entry(entry: dict[str, Any]) -> Part:
    part = Part(**{name: entry[name] for name in Part._fields})
    numbers = (part.bytes, part.first, part.records, part.residues)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"expected numbers from 0 on, got {entry!r:.120}")
    if not isinstance(part.file, str) or not re.fullmatch(r"[A-Za-z0-9_-]+\.[a-z]+", part.file):
        raise ValueError(f"expected the name of a file in this folder, got {part.file!r:.60}")
    return part
