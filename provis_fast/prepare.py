"""Prepare a data set: read and label proteins once, and keep them in a form that is read fast.

What is written stands in `provis_fast.proteins.prepared_manifest`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from provis_fast import __version__, failed_table, versions
from provis_fast.arguments import check_integer
from provis_fast.atomic import check_target, flushed_file, replaced_folder
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.properties import REGISTRY, Annotation, Contact
from provis_fast.properties.listed_contacts import contact_pairs
from provis_fast.proteins import Protein, ProteinSource, SetAside, load_proteins
from provis_fast.proteins.prepared_manifest import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    SET_ASIDE,
    read_manifest,
)
from provis_fast.proteins.prepared_parts import BATCH_ROWS, PartRecord, table_of
from provis_fast.record_log import Remark

logger = logging.getLogger(__name__)

#: Proteins of one part.
RECORDS_PER_PART = 16384
#: A part ends before this, whatever its number of proteins: it is in memory as a whole.
_PART_BYTES = 64 << 20
#: Reasons shown where no protein could be used.
_REASONS = 5

#: Called with the records done, their residues, and the records altogether (None: not known).
PrepareProgress = Callable[[int, int, int | None], None]


@dataclass(frozen=True)
class PreparedData:
    """What came of a preparation.

    Attributes
    ----------
    folder : Path
    read, kept, skipped, failed : int
        Records; read = kept + skipped + failed.
    residues : int
        Of the records kept.
    bytes : int
        Of all files.
    """

    folder: Path
    read: int
    kept: int
    skipped: int
    failed: int
    residues: int
    bytes: int


def prepare(
    inputs: ProteinSource | str | PathLike[str] | Iterable[str | PathLike[str] | Protein],
    folder: str | PathLike[str],
    *,
    labels: str | Iterable[str] = "all",
    contacts: bool | Contact = True,
    coordinates: bool = False,
    compress: bool = False,
    records_per_part: int = RECORDS_PER_PART,
    overwrite: bool = False,
    progress: PrepareProgress | None = None,
    **reading: Any,
) -> PreparedData:
    """Read proteins of any format, and write a data set that `load_proteins` reads at once.

    Analyses of the data set give what those of the input give, bit for bit.

    Parameters
    ----------
    inputs : ProteinSource, path, or iterable of paths and Protein objects
        As `provis_fast.load_proteins` takes them.
    folder : str or path
        New, empty, or holding an earlier data set and nothing else.
    labels : "all" or iterable of str
        Names of the labels, values and text columns to keep.
    contacts : bool or Contact
        Definition of the contacts to keep; True for that of ``Contact()``, False for none.
    coordinates : bool
        Keep the C-alpha and C-beta coordinates, so that contacts may be defined otherwise later.
    compress : bool
        Compress the parts (zstd); they are then decompressed into memory when they are read.
    records_per_part : int
        Proteins of one part; a part of more than 64 MiB ends earlier.
    overwrite : bool
        Replace an earlier data set.
    progress : callable, optional
        See `PrepareProgress`.
    **reading
        Options of `load_proteins`, where `inputs` is no ProteinSource.

    Returns
    -------
    PreparedData

    Raises
    ------
    ArgumentError
        A bad argument, by name.
    InputError
        The input cannot be used, or no record of it; or it is a prepared data set itself, whose
        contacts are of another definition.
    ResultError
        The folder holds other things, or an earlier data set that is not to be replaced, or cannot
        be written.
    """
    if labels != "all":
        labels = (labels,) if isinstance(labels, str) else tuple(labels)
        if not all(isinstance(name, str) for name in labels):
            raise ArgumentError(f'labels: expected "all" or names, got {labels!r:.80}')
    if not isinstance(contacts, (bool, Contact)):
        raise ArgumentError(f"contacts: expected True, False or a Contact, got {contacts!r:.60}")
    contact = Contact() if contacts is True else contacts or None
    records_per_part = check_integer("records_per_part", records_per_part, 1)
    target = check_target(folder, "prepared data set", _foreign)
    if not overwrite and (target / MANIFEST).exists():
        raise ResultError(
            f"{folder}: holds an earlier prepared data set; give another folder, or replace it "
            "with overwrite=True (--overwrite)"
        )
    source = inputs if isinstance(inputs, ProteinSource) else load_proteins(inputs, **reading)
    writer = _Writer(labels, contact, coordinates, compress, records_per_part)
    options = {
        "labels": labels if labels == "all" else sorted(labels),
        "coordinates": coordinates,
        "compress": compress,
        "records_per_part": records_per_part,
        "contacts": None if contact is None else contact.options(),
        "reading": {name: list(values) for name, values in source.settings.items()},
    }
    inputs_found = source.digests()
    with replaced_folder(target) as temporary:
        with flushed_file(temporary / SET_ASIDE) as aside:
            writer.write(source, temporary, aside, progress)
        manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "options": options}
        manifest |= {"inputs": inputs_found, "notes": list(source.notes)}
        manifest |= writer.manifest(temporary)
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
        with flushed_file(temporary / MANIFEST) as stream:
            stream.write((text + "\n").encode("utf-8", "backslashreplace"))
        size = sum(file.stat().st_size for file in temporary.iterdir())
    return writer.outcome(target, size)


def _foreign(target: Path) -> list[str]:
    """What a folder holds that is no part of a prepared data set."""
    entries = sorted(entry.name for entry in target.iterdir())
    if not (target / MANIFEST).is_file():
        return [*entries, "without manifest.json"] if entries else []
    try:
        manifest = read_manifest(target)
    except InputError as error:
        return [f"{MANIFEST}: {error.reason}"]
    own = {MANIFEST, SET_ASIDE, *(part.file for part in manifest.parts)}
    return [name for name in entries if name not in own]


def _about(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}


@dataclass
class _Writer:
    """Collects proteins, writes them part by part, and counts."""

    names: str | tuple[str, ...]
    contact: Contact | None
    coordinates: bool
    compress: bool
    records_per_part: int
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("kept", "skipped", "failed", "residues"), 0)
    )
    found: dict[str, set[str]] = field(
        default_factory=lambda: {"labels": set(), "values": set(), "text": set()}
    )
    parts: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def write(
        self,
        source: ProteinSource,
        folder: Path,
        aside: BinaryIO,
        progress: PrepareProgress | None,
    ) -> None:
        """Write all records but for the manifest; InputError where no protein is among them."""
        aside.write(failed_table.HEADER)
        waiting: list[PartRecord] = []
        size = done = 0
        for number, record in enumerate(source.records()):
            done = number + 1
            if isinstance(record, SetAside):
                self.counts[record.status] += 1
                if len(self.reasons) < _REASONS:
                    self.reasons.append(f"{record.status}: {record.id}: {record.reason}")
                aside.write(failed_table.line_of(Remark.of(number, record)))
                continue
            entry = self._entry(number, record)
            if waiting and size + entry.n_bytes > _PART_BYTES:
                self._flush(waiting, folder)
                waiting, size = [], 0
            waiting.append(entry)
            size += entry.n_bytes
            if len(waiting) == self.records_per_part:
                self._flush(waiting, folder)
                waiting, size = [], 0
            if progress is not None and done % 64 == 0:
                progress(done, self._residues(waiting), _total(source, done))
        if waiting:
            self._flush(waiting, folder)
        if progress is not None:
            progress(done, self.counts["residues"], done)
        if not self.counts["kept"]:
            lines = self.reasons + (["..."] if done > len(self.reasons) else [])
            raise InputError(
                f"no protein could be prepared, of {done:,} records read:\n" + "\n".join(lines)
            )
        self._warn_of_missing()

    def _residues(self, waiting: list[PartRecord]) -> int:
        return self.counts["residues"] + sum(len(entry.protein) for entry in waiting)

    def _entry(self, number: int, protein: Protein) -> PartRecord:
        failed: list[str] = []
        labels = self._arrays(protein.labels, "label", failed)
        values = self._arrays(protein.values, "value", failed)
        text = {name: one for name, one in (protein.text or {}).items() if self._wanted(name)}
        for kind, names in (("labels", labels), ("values", values), ("text", text)):
            self.found[kind].update(names)
        contacts = None if self.contact is None else contact_pairs(self.contact, protein)
        return PartRecord(number, protein, labels, values, text, failed, contacts, self.coordinates)

    def _wanted(self, name: str) -> bool:
        return self.names == "all" or name in self.names

    def _arrays(
        self, given: Mapping[str, np.ndarray], kind: str, failed: list[str]
    ) -> dict[str, np.ndarray]:
        """The arrays of a mapping, computed where they are not yet; what cannot be is told."""
        found = {}
        for name in given:
            if not self._wanted(name):
                continue
            try:
                found[name] = given[name]
            except InputError as error:
                failed += [f"{kind}:{name}", error.reason]
        return found

    def _flush(self, records: list[PartRecord], folder: Path) -> None:
        path = folder / f"part-{len(self.parts):05d}.arrow"
        table = table_of(records)
        options = pa.ipc.IpcWriteOptions(compression="zstd" if self.compress else None)
        with flushed_file(path) as stream:
            with pa.ipc.new_file(stream, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=BATCH_ROWS)
        residues = sum(len(record.protein) for record in records)
        self.parts.append(
            _about(path)
            | {"first": records[0].number + 1, "records": len(records), "residues": residues}
        )
        self.counts["kept"] += len(records)
        self.counts["residues"] += residues

    def _warn_of_missing(self) -> None:
        if self.names == "all":
            return
        if missing := sorted(set(self.names).difference(*self.found.values())):
            known = sorted(set().union(*self.found.values()))
            logger.warning(
                "labels: no protein of the input has %s; kept: %s",
                ", ".join(missing),
                ", ".join(known) or "none",
            )

    def manifest(self, folder: Path) -> dict[str, Any]:
        """The manifest, but for what `prepare` knows of the input."""
        counts = self.counts
        aside = counts["skipped"] + counts["failed"]
        return {
            "versions": _versions(),
            "records": counts | {"read": counts["kept"] + aside},
            "columns": {
                "labels": {name: _classes(name) for name in sorted(self.found["labels"])},
                "values": sorted(self.found["values"]),
                "text": sorted(self.found["text"]),
            },
            "contacts": None if self.contact is None else self.contact.options(),
            "coordinates": self.coordinates,
            "parts": self.parts,
            "set_aside": _about(folder / SET_ASIDE) | {"records": aside},
        }

    def outcome(self, folder: Path, size: int) -> PreparedData:
        counts = self.counts
        kept, skipped, failed = (counts[name] for name in ("kept", "skipped", "failed"))
        return PreparedData(
            folder, kept + skipped + failed, kept, skipped, failed, counts["residues"], size
        )


def _classes(name: str) -> list[str] | None:
    """Names of the classes of labels that the package knows; None for others."""
    make = REGISTRY.get(name)
    prop = make() if make is not None else None
    return list(prop.classes) if isinstance(prop, Annotation) else None


def _versions() -> dict[str, str]:
    """Versions of what may show in the data set."""
    names = ("numpy", "pyarrow", "gemmi", "mdtraj", "lmdb")
    found = {name: versions.installed(name) for name in names}
    return {"provis_fast": __version__} | {name: v for name, v in found.items() if v is not None}


def _total(source: ProteinSource, done: int) -> int | None:
    total = operator.length_hint(source, 0)
    return max(total, done) if total else None
