"""Pages that this package has written, told from files of somebody else's.

Every one says near its beginning what made it: ``<meta name="generator" content="provis_fast``,
then the kind of page and the version.
"""

from __future__ import annotations

from pathlib import Path

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
