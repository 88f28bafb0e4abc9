r"""``failed.tsv``: every record that was not analysed, or was with a remark, one line each.

Columns, separated by tabs, with a header line:

=======  ==================================================================
record   number in the input, from 1
id
status   skipped, failed, or noted (analysed, with a remark)
file
line     of the file, from 1; empty where it is not known
reason   why it was set aside, or the remark
=======  ==================================================================

Lines stand in the input's order. A tab is written as ``\t``, a line feed as ``\n``, a carriage
return as ``\r``, a backslash as ``\\``, and what UTF-8 cannot hold (names of files need not be
text) as ``\udc80`` and the like.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from provis_fast.errors import ResultError
from provis_fast.record_log import STATUSES, RecordLog, Remark

COLUMNS = ("record", "id", "status", "file", "line", "reason")
#: Its first line.
HEADER = ("\t".join(COLUMNS) + "\n").encode()

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_PLAIN = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\(u[0-9a-f]{4}|[\\tnr])")


def lines(remarks: Iterable[Remark]) -> Iterator[bytes]:
    """The file, line by line, from remarks in the order of their numbers."""
    yield HEADER
    yield from map(line_of, remarks)


def line_of(remark: Remark) -> bytes:
    """One line."""
    line = "" if remark.line is None else remark.line
    cells = (remark.id, remark.status, remark.source, line, remark.reason)
    text = "\t".join(str(cell).translate(_ESCAPES) for cell in cells)
    return f"{remark.number + 1}\t{text}\n".encode("utf-8", "backslashreplace")


def cells_of(line: str) -> list[str]:
    """What stands in the columns of a line.

    Raises
    ------
    ValueError
        The line has no end: the file is cut off in it.
    """
    if not line.endswith("\n"):
        raise ValueError("the line is cut off")
    return [_ESCAPED.sub(_unescaped, cell) for cell in line.removesuffix("\n").split("\t")]


def read(path: Path, digest: str | None) -> RecordLog:
    """Remarks of a result.

    Parameters
    ----------
    path : Path
    digest : str or None
        SHA-256 that the manifest gives.

    Raises
    ------
    ResultError
        The file cannot be read, or is not the one that was written.
    """
    log, found = RecordLog(), hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            found.update(next(stream, b""))
            for number, line in enumerate(stream, start=2):
                found.update(line)
                try:
                    log.add(_remark(line.decode()))
                except (ValueError, KeyError):
                    raise ResultError(
                        f"{path}:{number}: expected {', '.join(COLUMNS)} separated by tabs, got "
                        f"{line[:80]!r}: the file was changed or damaged; restore it from a copy, "
                        "or run the analysis again"
                    ) from None
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error
    if found.hexdigest() != digest:
        raise ResultError(
            f"{path}: its digest is not the one in manifest.json: the file was changed or damaged; "
            "restore it from a copy, or run the analysis again"
        )
    return log


def _remark(line: str) -> Remark:
    record, name, status, source, at, reason = cells_of(line)
    if status not in STATUSES:
        raise ValueError
    return Remark(int(record) - 1, name, status, reason, source, int(at) if at else None)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return _PLAIN[code] if code in _PLAIN else chr(int(code[1:], 16))
