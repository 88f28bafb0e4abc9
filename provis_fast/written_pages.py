"""Pages that this package has written, told from files of somebody else's.

Every one says near its beginning what made it: ``<meta name="generator" content="provis_fast``,
then the kind of page and the version.
"""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from provis_fast.atomic import cannot_write, flushed_file, replaced_file
from provis_fast.errors import ArgumentError, ResultError

#: How pages of ours are known.
MARK = b'<meta name="generator" content="provis_fast '
#: Pages and the folder of figures that may stand beside the files of a result.
PAGES = ("report.html", "comparison.html", "view.html")
FIGURES = "figures"
FIGURE_FORMATS = (".png", ".svg", ".pdf", ".txt")

_BEGINNING = 1024


def is_page(path: Path) -> bool:
    """Whether a file is a page that this package has written, or empty."""
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        beginning = stream.read(_BEGINNING)
    return not beginning or MARK in beginning


def foreign(folder: Path) -> list[str]:
    """Those of `PAGES` and `FIGURES` in a result's folder that hold something else."""
    found = [name for name in PAGES if (folder / name).exists() and not is_page(folder / name)]
    figures = folder / FIGURES
    if figures.is_dir():
        found += [
            f"{FIGURES}/{entry.name}"
            for entry in sorted(figures.iterdir())
            if not entry.is_file() or entry.suffix not in FIGURE_FORMATS
        ]
    elif figures.exists():
        found.append(FIGURES)
    return found


def check_target(place: str | PathLike[str], what: str, overwrite: bool = False) -> Path:
    """Make sure that a page may be written to a file, before the work is done.

    Parameters
    ----------
    place : str or path
    what : str
        Kind of page, for messages: "report", "view".
    overwrite : bool
        Also replace a file that is no page of ours.

    Returns
    -------
    Path
        Where the file will stand; symbolic links followed.

    Raises
    ------
    ArgumentError
        An empty name.
    ResultError
        A folder stands there, a file that is no page of ours, or the place cannot be written.
    """
    if not os.fspath(place):
        raise ArgumentError("out: expected the name of a file, got an empty one")
    target = Path(os.path.realpath(place))
    if target.is_dir():
        raise ResultError(
            f"{place}: a folder stands there; give the name of a file, such as {what}.html"
        )
    try:
        if target.exists() and not overwrite and not is_page(target):
            raise ResultError(
                f"{place}: a file stands there that is no page of this package; give another name, "
                "or replace it with overwrite=True (--overwrite)"
            )
        with replaced_file(target.with_name(f".{target.name}.tried")) as tried:
            raise _Tried(tried)
    except _Tried:
        return target
    except OSError as error:
        raise cannot_write(place, error) from error


class _Tried(Exception):
    """Ends the writing of a file that was only to be tried."""


def write_page(page: str, target: Path) -> None:
    """Write a page, whole or not at all.

    Raises
    ------
    ResultError
        It cannot be written.
    """
    try:
        with replaced_file(target) as temporary, flushed_file(temporary) as stream:
            # Names of files need not be valid text.
            stream.write(page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise cannot_write(target, error) from error
