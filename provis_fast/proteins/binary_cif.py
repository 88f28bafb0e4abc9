"""BinaryCIF files: their categories as a block of gemmi's, which is then read like mmCIF's.

BinaryCIF is MessagePack: columns of integers, floats and strings, each behind a chain of encodings
(Sehnal et al., PLoS Comput. Biol. 16, e1008247, 2020). Biotite undoes the encodings. How long an
array becomes is told by the file, and eight bytes can announce two thousand million equal numbers,
so every step's length is computed here from what is there, and compared, before it is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.opening import read_bytes
from provis_fast.proteins.record import Protein, SetAside
from provis_fast.proteins.structure import Entry, entry_of, records_of

_NEEDS_BIOTITE = (
    "reading BinaryCIF needs the packages biotite and msgpack: pip install 'provis_fast[binarycif]'"
)
#: Values of a whole file: what an mmCIF file of the greatest size could hold at four bytes each.
MAX_VALUES = MAX_RECORD_BYTES // 4
#: Characters of all values together. A file has a text once, however many rows hold it.
MAX_CHARACTERS = 16 * MAX_VALUES
#: Lists, maps and their entries in a file; 100 categories of 20 columns make about 100,000.
_MAX_OBJECTS = 1_000_000

#: Categories that gemmi's reading of a structure, or ours, looks at. The others are most of a file.
_READ = frozenset(
    "_atom_site _atom_sites _cell _chem_comp _entity _entity_poly _entity_poly_seq _entry _exptl "
    "_ma_data _ma_model_list _ma_qa_metric _ma_qa_metric_local _pdbx_database_status "
    "_pdbx_entity_branch _pdbx_entity_nonpoly _pdbx_helical_symmetry _pdbx_struct_assembly "
    "_pdbx_struct_assembly_gen _pdbx_struct_mod_residue _pdbx_struct_oper_list _refine _software "
    "_struct _struct_asym _struct_biol _struct_conf _struct_conf_type _struct_conn "
    "_struct_keywords _struct_mon_prot_cis _struct_ncs_oper _struct_ref _struct_ref_seq "
    "_struct_sheet _struct_sheet_order _struct_sheet_range _struct_site _struct_site_gen "
    "_symmetry".split()
)

#: What damaged content makes Python, NumPy or Biotite raise.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    BufferError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read an entry in BinaryCIF.

    Parameters
    ----------
    path : Path
        The file; compressed or not.
    source : str
        What to call the file in records.
    reading : Reading
        What to make of predicted structures.

    Yields
    ------
    Protein or SetAside
        Those of the same entry in mmCIF; see `provis_fast.proteins.structure.read_structure`.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, damaged or no BinaryCIF, has no atoms, or if Biotite
        is not installed.
    """
    yield from records_of(*_parsed(path), b"", path, source, reading)


def read_entry(path: Path, source: str, reading: Reading) -> Entry:
    """Read an entry as a whole; parameters and errors as of `read`."""
    return entry_of(*_parsed(path), b"", path, source, reading)


def _parsed(path: Path) -> tuple[gemmi.Structure, gemmi.cif.Block]:
    raw = read_bytes(path)
    if not raw:
        raise InputError("the file is empty", path)
    try:
        _encodings()
        block = _block(_unpacked(raw))
        structure = gemmi.make_structure_from_block(block)
    except InputError as error:
        raise InputError(error.reason, path) from error
    except (*_DAMAGED, RuntimeError) as error:
        raise InputError(
            f"damaged, or not BinaryCIF: {type(error).__name__}: {' '.join(str(error).split())}",
            path,
        ) from error
    return structure, block


def _unpacked(raw: bytes) -> dict[str, Any]:
    """Content of the file as dictionaries and lists."""
    try:
        import msgpack
    except ImportError as error:
        raise InputError(_NEEDS_BIOTITE) from error
    objects = 0

    def count(container: Any) -> Any:
        # An empty list is one byte in the file and fifty in memory.
        nonlocal objects
        objects += 1 + len(container)
        if objects > _MAX_OBJECTS:
            raise InputError(
                f"more than {_MAX_OBJECTS:,} lists, maps and entries, many times what the largest "
                "structure has: damaged, or not BinaryCIF"
            )
        return container

    try:
        content = msgpack.unpackb(raw, object_hook=count, list_hook=count, max_ext_len=0)
    except InputError:
        raise
    except (msgpack.exceptions.UnpackException, ValueError, RecursionError) as error:
        raise InputError(
            f"damaged, cut off, or not BinaryCIF: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(content, dict) or not content.get("dataBlocks"):
        raise InputError("not BinaryCIF: there is no data block")
    return content


def _block(content: dict[str, Any]) -> gemmi.cif.Block:
    """The first data block, decoded."""
    given = content["dataBlocks"][0]
    block = gemmi.cif.Document().add_new_block(str(given["header"]) or "unnamed")
    left, characters_left = MAX_VALUES, MAX_CHARACTERS
    for category in given["categories"]:
        name, rows, columns = category["name"], category["rowCount"], category["columns"]
        if not _is_name(name) or not name.startswith("_"):
            raise InputError(f"expected the name of a category, got {name!r:.60}")
        if name not in _READ or not columns:
            continue
        if not isinstance(rows, int) or rows < 1:
            raise InputError(f"{name}: expected rowCount, a number from 1 up, got {rows!r:.60}")
        left -= rows * len(columns)
        if left < 0:
            raise InputError(
                f"{name}: {rows:,} rows of {len(columns)} columns exceed the limit of "
                f"{MAX_VALUES:,} values in a file; split the structure"
            )
        tags, values = [], []
        for column in columns:
            tag = column["name"]
            if not _is_name(tag):
                raise InputError(f"{name}: expected the name of a column, got {tag!r:.60}")
            try:
                values.append(_Column(column, rows).texts())
            except (InputError, *_DAMAGED) as error:
                why = error.reason if isinstance(error, InputError) else str(error)
                raise InputError(f"damaged: {name}.{tag}: {why}") from error
            characters_left -= sum(map(len, values[-1]))
            if characters_left < 0:
                raise InputError(
                    f"{name}.{tag}: its values, with those before, have more than "
                    f"{MAX_CHARACTERS:,} characters, many times what a structure of the greatest "
                    "size has: damaged, or made to exhaust memory"
                )
            tags.append(tag)
        block.init_loop(f"{name}.", tags).set_all_values(values)
    return block


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isascii() and name.isprintable() and " " not in name


class _Column:
    """One column of a category, with as many rows as that has."""

    def __init__(self, column: dict[str, Any], rows: int):
        self._data, self._mask, self._rows = column["data"], column.get("mask"), rows

    def texts(self) -> list[str]:
        """Values as mmCIF would have them."""
        data, encodings = self._data["data"], list(self._data["encoding"])
        kind = encodings[0]["kind"] if encodings else None
        if kind == "StringArray":
            texts = self._strings(data, encodings[0])
        elif kind == "FixedPoint":
            numbers = _decoded(data, encodings[1:], self._rows)
            texts = _fixed_point_texts(numbers, encodings[0])
        else:
            texts = _number_texts(_decoded(data, encodings, self._rows))
        if len(texts) != self._rows:
            raise InputError(f"expected {self._rows} values, got {len(texts)}")
        if self._mask is not None:
            mask = _decoded(self._mask["data"], self._mask["encoding"], self._rows)
            if len(mask) != self._rows:
                raise InputError(f"expected {self._rows} values in the mask, got {len(mask)}")
            for row in np.flatnonzero(mask).tolist():
                texts[row] = "." if mask[row] == 1 else "?"
        return texts

    def _strings(self, data: bytes, encoding: dict[str, Any]) -> list[str]:
        joined = encoding["stringData"]
        if not isinstance(joined, str):
            raise InputError(f"expected stringData to be text, got {type(joined).__name__}")
        longest = min(len(joined), self._rows) + 2
        offsets = _decoded(encoding["offsets"], encoding["offsetEncoding"], longest).tolist()
        if offsets and not (offsets[0] >= 0 and offsets[-1] <= len(joined)):
            raise InputError(f"offsets of strings beyond the {len(joined)} characters given")
        if any(end < begin for begin, end in pairwise(offsets)):
            raise InputError("offsets of strings do not ascend")
        found = [gemmi.cif.quote(joined[begin:end]) for begin, end in pairwise(offsets)]
        indices = _decoded(data, encoding["dataEncoding"], self._rows)
        if len(indices) and not -1 <= indices.min() <= indices.max() < len(found):
            raise InputError(f"a string's number is not one of the {len(found)} given")
        found.append(".")  # -1 is no string
        return [found[index] for index in indices.tolist()]


def _decoded(data: bytes, encodings: list[dict[str, Any]], most: int) -> np.ndarray:
    """Undo a chain of encodings of numbers; none may yield more than `most` of them.

    Packed integers and run lengths are intermediate: at most twice or four times as many.
    """
    if not isinstance(data, bytes) or not isinstance(encodings, list) or not encodings:
        raise InputError("expected bytes and their encodings")
    if len(data) > 32 * (most + 64):
        raise InputError(f"{len(data):,} bytes for {most:,} values")
    array: Any = data
    for encoding in reversed(encodings):
        array = _step(encoding, array, most)
    if len(array) > most:
        raise InputError(f"expected at most {most} numbers, got {len(array)}")
    return array


def _step(encoding: dict[str, Any], array: Any, most: int) -> np.ndarray:
    """Undo one encoding, after checking how many numbers it yields."""
    kind = encoding["kind"]
    known = _encodings()
    if kind not in known:
        raise InputError(f"expected one of the encodings {', '.join(known)}, got {kind!r:.60}")
    if kind == "ByteArray":
        if not isinstance(array, bytes):
            raise InputError("ByteArray is not the last of the encodings")
    elif not isinstance(array, np.ndarray):
        raise InputError(f"expected ByteArray as the last of the encodings, got {kind}")
    elif kind in ("RunLength", "IntegerPacking"):
        length = _length(kind, encoding, array)
        declared = encoding["srcSize"]
        if length != declared or length > 2 * most + 2:
            raise InputError(
                f"{kind} says that there are {declared} numbers, but its data hold {length} of at "
                f"most {most}"
            )
    try:
        return known[kind].deserialize(encoding).decode(array)
    except Exception as error:  # Biotite has errors of its own, and passes on others'
        raise InputError(f"{kind}: {type(error).__name__}: {error}") from error


def _length(kind: str, encoding: dict[str, Any], array: np.ndarray) -> int:
    """How many numbers an encoding yields of this array."""
    if array.dtype.kind not in "iu":
        raise InputError(f"{kind} of numbers that are no integers")
    if kind == "RunLength":
        if len(array) % 2:
            raise InputError("RunLength of an odd number of integers")
        runs = array[1::2]
        if len(runs) and runs.min() < 0:
            raise InputError("RunLength with a negative length")
        return int(runs.sum(dtype=np.int64))
    # A number ends where a packed one is not at a limit of its type.
    limits = np.iinfo(array.dtype)
    goes_on = array == limits.max
    if limits.min < 0:
        goes_on |= array == limits.min
    if len(array) and goes_on[-1]:
        raise InputError("IntegerPacking ends within a number")
    return len(array) - int(goes_on.sum())


@cache
def _encodings() -> dict[str, Any]:
    """Biotite's encodings of numbers, by BinaryCIF's names."""
    try:
        from biotite.structure.io import pdbx  # half a second, and most analyses do without
    except ImportError as error:
        raise InputError(_NEEDS_BIOTITE) from error
    return {
        "ByteArray": pdbx.ByteArrayEncoding,
        "Delta": pdbx.DeltaEncoding,
        "FixedPoint": pdbx.FixedPointEncoding,
        "IntegerPacking": pdbx.IntegerPackingEncoding,
        "IntervalQuantization": pdbx.IntervalQuantizationEncoding,
        "RunLength": pdbx.RunLengthEncoding,
    }


def _fixed_point_texts(numbers: np.ndarray, encoding: dict[str, Any]) -> list[str]:
    """Decimal numbers exactly as they were, where the factor is a power of ten."""
    factor = encoding["factor"]
    if not 0 < factor <= 1e9:
        raise InputError(f"expected the factor of FixedPoint to be positive, got {factor!r:.60}")
    decimals = len(str(int(factor))) - 1
    if numbers.dtype.kind not in "iu":
        raise InputError("FixedPoint of numbers that are no integers")
    if factor == 10**decimals:
        return [f"{number:.{decimals}f}" for number in (numbers / factor).tolist()]
    return _number_texts(numbers / factor)


def _number_texts(numbers: np.ndarray) -> list[str]:
    """Numbers as text, with as many digits as tell them apart."""
    if numbers.dtype == np.float32:
        # By way of text: the nearest double has digits that nobody wrote.
        return numbers.astype(str).tolist()
    return [repr(number) for number in numbers.tolist()]
