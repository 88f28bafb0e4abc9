"""Reading prepared data sets; what they are stands in `provis_fast.proteins.prepared_manifest`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from provis_fast import failed_table
from provis_fast.errors import InputError
from provis_fast.proteins.arrow_files import damage_told
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.prepared_manifest import (
    RESTORE,
    ContactDefinition,
    Manifest,
    Part,
    read_manifest,
)
from provis_fast.proteins.prepared_parts import proteins_of
from provis_fast.proteins.record import Protein, SetAside

#: Proteins made at a time.
_AT_A_TIME = 32


def read(path: Path, source: str, reading: Reading, first: int = 0) -> Iterator[Protein | SetAside]:
    """Read a prepared data set as a stream.

    Parameters
    ----------
    path : Path
        Its folder.
    source : str
        Ignored: every record has the name of the file that it came from.
    reading : Reading
        Ignored: the records have been read.
    first : int
        Number of the record to begin with. Parts before it are not opened.

    Yields
    ------
    Protein or SetAside
        In the order of the input that was prepared, every record of it.

    Raises
    ------
    InputError
        The data set is of another version, or incomplete, changed or damaged.
    """
    manifest = read_manifest(path)
    _check_files(path, manifest)
    aside = _set_aside(path, manifest, first)
    waiting = next(aside, None)
    number = first
    for part, following in pairwise((*manifest.parts, None)):
        if following is not None and following.first - 1 <= first:
            continue
        for at, protein in _part(path, part, manifest.contacts):
            if at < first:
                continue
            while waiting is not None and waiting[0] < at:
                yield _in_order(path, waiting, number)
                number += 1
                waiting = next(aside, None)
            yield _in_order(path, (at, protein), number)
            number += 1
    while waiting is not None:
        yield _in_order(path, waiting, number)
        number += 1
        waiting = next(aside, None)
    if number != max(manifest.read, first):
        raise InputError(
            f"expected {manifest.read:,} records, as the manifest says, got {number:,}; {RESTORE}",
            path,
        )


def set_aside(path: Path) -> Iterator[SetAside]:
    """Records that were set aside when the data set was prepared; InputError as `read`."""
    for _, record in _set_aside(path, read_manifest(path), 0):
        yield record


def _check_files(path: Path, manifest: Manifest) -> None:
    """InputError where a file is missing or of another size: seen before a long analysis begins."""
    aside = manifest.content["set_aside"]
    for name, size in (
        *((part.file, part.bytes) for part in manifest.parts),
        (aside["file"], aside["bytes"]),
    ):
        try:
            found = (path / name).stat().st_size
        except FileNotFoundError:
            raise InputError(
                f"{name} is missing, which the manifest lists; {RESTORE}", path
            ) from None
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror or error}", path) from error
        if found != size:
            raise InputError(
                f"changed or cut off since it was prepared: expected {size:,} bytes, got "
                f"{found:,}; {RESTORE}",
                path / name,
            )


def _part(
    path: Path, part: Part, contacts: ContactDefinition | None
) -> Iterator[tuple[int, Protein]]:
    place = path / part.file
    with damage_told(place):
        with open(place, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != part.sha256:
        raise InputError(
            "changed or damaged since it was prepared: its digest is not the one in the manifest; "
            f"{RESTORE}",
            place,
        )
    rows = 0
    with damage_told(place):
        mapped = pa.memory_map(str(place))
    with mapped:
        with damage_told(place):
            reader = pa.ipc.open_file(mapped)
        for index in range(reader.num_record_batches):
            with damage_told(place):
                batch = reader.get_batch(index)
                batch.validate(full=True)
            found = proteins_of(batch, contacts)
            while some := _next_few(found, place):
                rows += len(some)
                yield from some
    if rows != part.records:
        raise InputError(
            f"expected {part.records:,} proteins, as the manifest says, got {rows:,}; {RESTORE}",
            place,
        )


def _next_few(proteins: Iterator[tuple[int, Protein]], place: Path) -> list[tuple[int, Protein]]:
    """A few at a time: more at once would keep Python's collector of garbage busy."""
    try:
        with damage_told(place):
            return list(islice(proteins, _AT_A_TIME))
    except InputError as error:
        raise InputError(error.reason, place) from error


def _in_order(
    path: Path, record: tuple[int, Protein | SetAside], number: int
) -> Protein | SetAside:
    if record[0] != number:
        raise InputError(
            f"expected the record {number:,}, got {record[0]:,}: the data set is damaged; "
            f"{RESTORE}",
            path,
        )
    return record[1]


def _set_aside(path: Path, manifest: Manifest, first: int) -> Iterator[tuple[int, SetAside]]:
    place = path / manifest.content["set_aside"]["file"]
    with damage_told(place):
        with open(place, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != manifest.content["set_aside"]["sha256"]:
            raise InputError(
                "changed or damaged since it was prepared: its digest is not the one in the "
                f"manifest; {RESTORE}",
                place,
            )
    with open(place, encoding="utf-8", newline="\n") as stream:
        for line, text in enumerate(_lines(stream, place), start=1):
            if line == 1:
                if text.encode() != failed_table.HEADER:
                    raise InputError(f"expected the columns {failed_table.COLUMNS}", place, line)
                continue
            try:
                number, identifier, status, source, at, reason = failed_table.cells_of(text)
                if status not in ("skipped", "failed") or not reason:
                    raise ValueError(f"status {status!r:.40}, reason {reason!r:.40}")
                record = SetAside(identifier, status, reason, source, int(at) if at else None)
                at_record = int(number) - 1
            except ValueError as error:
                raise InputError(f"not a record that was set aside: {error}", place, line) from None
            if at_record >= first:
                yield at_record, record


def _lines(stream: Any, place: Path) -> Iterator[str]:
    while True:
        with damage_told(place):
            line = stream.readline()
        if not line:
            return
        yield line
