"""Data sets in the LMDB layout of TAPE (Rao et al. 2019), as used by provis.

The data base holds ``num_examples`` and one pickled dictionary per record under the keys ``0``,
``1``, ... . What is understood of a dictionary:

===============================  ===================================================================
``primary``                      the sequence (required)
``id``                           identifier; the record's number where it has none
``positions``, ``sites``         provis' binding sites. ``sites`` are residue numbers to be looked
                                 up in ``positions`` (one number per residue, repeats allowed); they
                                 are not indices into ``primary``
``modifications``                provis' protein modifications, residue numbers like ``sites``
``ss3``, ``ss8``                 secondary structure; as in provis, class 3 (other) where ``ss8`` is
                                 7 (blank), else ``ss3`` (0 helix, 1 strand, 2 turn or bend)
``tertiary``, ``valid_mask``     C-alpha coordinates in Angstrom (ProteinNet) and where they are
                                 known
===============================  ===================================================================

Where ``valid_mask`` is false, secondary structure and coordinates are unknown. provis did not look
at it for secondary structure; for comparison with provis the labels before masking are kept as
``secondary_structure_unmasked``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins import limits, plain_pickle
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.record import OTHER, UNKNOWN, Protein, SetAside

logger = logging.getLogger(__name__)

_SS8_BLANK = 7
_NEEDS_LMDB = 'reading LMDB data sets needs the lmdb package: pip install "lmdb"'


def data_file(path: Path) -> Path:
    """Return the file that holds the data of an LMDB, which is a folder or a file."""
    return path / "data.mdb" if path.is_dir() else path


def site_label_of(source: str) -> str:
    """Return the label that ``sites`` stand for, from the name of a data set.

    provis' modifications have a key of their own, but a data set made after its binding sites may
    tell them by its name alone (``protein_modification_valid.lmdb``).
    """
    return "modification" if "modif" in source.lower() else "binding_site"


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a TAPE LMDB as a stream; see `read_tape_lmdb`."""
    return read_tape_lmdb(path, source, reading.site_label)


def read_tape_lmdb(
    path: Path, source: str, site_label: str | None = None
) -> Iterator[Protein | SetAside]:
    """Read a TAPE LMDB as a stream, without running code from its pickles.

    Parameters
    ----------
    path : Path
        A folder with data.mdb, or a single file.
    source : str
        What to call the data set in records.
    site_label : str, optional
        Label that ``sites`` become; by default `site_label_of` (source).

    Yields
    ------
    Protein or SetAside
        By record number.

    Raises
    ------
    InputError
        If this is not a TAPE data set, or its file is cut off.
    """
    site_label = site_label or site_label_of(source)
    with _environment(path) as environment:
        count = _number_of_examples(environment, path)
        # A truncated index would hide records; more records than announced would, too.
        if environment.stat()["entries"] > count + 1:
            logger.warning(
                "%s: num_examples is %d, but the data base has %d entries",
                source,
                count,
                environment.stat()["entries"],
            )
        for index in range(count):
            identifier = f"record {index}"
            try:
                found, record = _value(environment, str(index))
                if not found:
                    raise InputError(f"there is no record {index} of {count}")
                if not isinstance(record, Mapping):
                    raise InputError(f"expected a dictionary, got {type(record).__name__}")
                identifier = _text(record.get("id", index))
                protein = _protein(identifier, record, source, site_label)
            except (InputError, TypeError, ValueError) as error:
                reason = error.reason if isinstance(error, InputError) else str(error)
                yield SetAside(identifier, "failed", reason, source)
            else:
                yield protein


def count_tape(path: Path) -> int | None:
    """Records of a TAPE LMDB; None where it cannot be read, which `read_tape_lmdb` will explain."""
    try:
        with _environment(path) as environment:
            return _number_of_examples(environment, path)
    except InputError:
        return None


def _value(environment: Any, key: str) -> tuple[bool, Any]:
    """Whether there is such a key, and its value; InputError where either cannot be read."""
    import lmdb

    try:
        # One transaction each: after an error LMDB refuses all else that the same one asks for.
        with environment.begin(buffers=True) as transaction:
            raw = transaction.get(key.encode())
            return raw is not None, None if raw is None else plain_pickle.loads(raw)
    except lmdb.Error as error:
        raise InputError(
            f"the data base is damaged: the key {key} cannot be read ({error}); restore the file "
            "from a copy"
        ) from error


def _number_of_examples(environment: Any, path: Path) -> int:
    try:
        found, count = _value(environment, "num_examples")
    except InputError as error:
        raise InputError(f"{error.reason}; without num_examples no record is read", path) from error
    if not found:
        raise InputError("not a TAPE data set: the key num_examples is missing", path)
    if not isinstance(count, int | np.integer) or count < 0:
        raise InputError(f"num_examples must be a number of records, got {count!r}", path)
    if count == 0:
        raise InputError("the data set is empty: num_examples is 0", path)
    return int(count)


def _protein(identifier: str, record: Mapping[str, Any], source: str, site_label: str) -> Protein:
    """Make a protein of a record; ValueError, TypeError or InputError where it does not fit."""
    if "primary" not in record:
        raise InputError(f"the key 'primary' is missing; keys: {sorted(map(str, record))}")
    sequence = _text(record["primary"])
    if len(sequence) > limits.MAX_RESIDUES:
        raise InputError(
            f"expected a protein of at most {limits.MAX_RESIDUES:,} residues, got {len(sequence):,}"
        )
    labels: dict[str, np.ndarray] = {}
    notes: list[str] = []
    mask = _per_residue(record, "valid_mask", sequence)
    valid = np.ones(len(sequence), bool) if mask is None else mask.astype(bool)
    numbers = None
    for key, label in (("sites", site_label), ("modifications", "modification")):
        if key not in record:
            continue
        positions = record.get("positions")
        if positions is None or len(positions) != len(sequence):
            raise InputError(
                f"'positions' must have one number per residue ({len(sequence)}), "
                f"got {'none' if positions is None else len(positions)}"
            )
        labels[label] = _site_labels(key, record[key], positions, notes)
        numbers = tuple(map(_text, positions))
    structure = _secondary_structure(record, sequence)
    if structure is not None:
        labels["secondary_structure"] = np.where(valid, structure, UNKNOWN).astype(np.int16)
        if mask is not None:
            labels["secondary_structure_unmasked"] = structure
    elif "ss3" in record:
        notes.append("'ss3' without 'ss8' cannot tell turn from other: not used")
    ca = None
    if "tertiary" in record:
        ca = np.array(record["tertiary"], dtype=np.float32)
        if ca.shape != (len(sequence), 3):
            raise InputError(f"'tertiary' must have shape {(len(sequence), 3)}, got {ca.shape}")
        ca[~valid] = np.nan
    return Protein(
        identifier,
        sequence,
        labels=labels,
        ca=ca,
        residue_numbers=numbers,
        source=source,
        notes=tuple(notes),
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _per_residue(record: Mapping[str, Any], key: str, sequence: str) -> np.ndarray | None:
    if key not in record:
        return None
    array = np.asarray(record[key])
    if array.shape != (len(sequence),):
        raise InputError(
            f"{key!r} must have one entry per residue, shape {(len(sequence),)}, got {array.shape}"
        )
    return array


def _site_labels(key: str, sites: Any, positions: Any, notes: list[str]) -> np.ndarray:
    wanted = set(sites)
    missing = wanted.difference(positions)
    if missing:
        notes.append(f"{key} that are not among the positions: {sorted(map(str, missing))}")
    return np.fromiter((p in wanted for p in positions), np.int16, len(positions))


def _secondary_structure(record: Mapping[str, Any], sequence: str) -> np.ndarray | None:
    ss3 = _per_residue(record, "ss3", sequence)
    ss8 = _per_residue(record, "ss8", sequence)
    if ss3 is None or ss8 is None:
        return None
    classes = np.where(ss8 == _SS8_BLANK, OTHER, ss3)
    if not np.isin(classes, (UNKNOWN, 0, 1, 2, OTHER)).all():
        raise InputError(f"'ss3' must hold 0, 1, 2 or -1, got {sorted(set(ss3.tolist()))}")
    return classes.astype(np.int16)


# An LMDB must not be opened twice in one process (its locks and maps would be shared and then
# dropped by the first to close), so iterators over the same file share one environment.
_open: dict[Path, list[Any]] = {}
_open_lock = threading.Lock()


@contextmanager
def _environment(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError as error:
        raise InputError(_NEEDS_LMDB, path) from error
    key = path.resolve()
    with _open_lock:
        if key not in _open:
            _open[key] = [_open_environment(lmdb, path), 0]
        _open[key][1] += 1
        environment = _open[key][0]
    try:
        yield environment
    finally:
        with _open_lock:
            _open[key][1] -= 1
            if _open[key][1] == 0:
                del _open[key]
                environment.close()


def _open_environment(lmdb: Any, path: Path) -> Any:
    try:
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, max_readers=1
        )
    except lmdb.Error as error:
        why = str(error).removeprefix(f"{path}: ")
        raise InputError(f"not a readable LMDB: {why}", path) from error
    # Reading past the end of a memory-mapped file kills the process, so look at its size first.
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = data_file(path).stat().st_size
    if size < needed:
        environment.close()
        raise InputError(
            f"the file is cut off: {size} bytes of {needed}; if it is known to be complete, "
            "rewrite it with mdb_copy -c",
            path,
        )
    return environment
