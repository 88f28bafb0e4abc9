"""What a page holds within itself: tables of numbers, and pictures.

Everything is text of the page: there is nothing to load, and nothing that a server could log.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
#: Bits of a float32's mantissa that are kept: 1 in 2^20, which is six decimal digits.
_MANTISSA = 20
_COLOURS = 128
#: Pixels per inch that figures are drawn with, and that they are shown with.
_DPI, _SHOWN = 160, 115


@dataclass(frozen=True)
class EmbeddedTable:
    """A table of numbers for the template's `data_table` and `table_data`; see `make_table`."""

    id: str
    label: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    json: str
    source: str | None = None


@dataclass(frozen=True)
class EmbeddedFigure:
    """A picture for the template's `picture`."""

    uri: str
    alt: str
    caption: str
    width: int
    height: int


@cache
def environment() -> Environment:
    """Jinja's, with the templates of this package; everything from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return made


@cache
def own_text(*names: str) -> str:
    """Files of `TEMPLATES` (style, scripts), one after the other."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def script_json(content: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element.

    Raises
    ------
    ValueError
        NaN or infinity.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "backslashreplace").decode()


def pack_columns(columns: Mapping[str, NDArray[Any]]) -> tuple[list[dict[str, str]], str]:
    """Columns of numbers, small.

    Floats of 32 bits keep six digits. The bytes of a column stand together by significance, those
    of all columns are one gzip file.

    Parameters
    ----------
    columns : mapping of str to array [rows]
        float32, float64, uint16 or uint32.

    Returns
    -------
    layout : list of dict
        key and dtype of each column.
    packed : str
        base64.
    """
    layout, parts = [], []
    for key, column in columns.items():
        column = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<"))
        if column.dtype.name == "float32":
            column = _rounded(column)
        layout.append({"key": key, "dtype": column.dtype.name})
        planes = column.view(np.uint8).reshape(len(column), column.itemsize).T
        parts.append(np.ascontiguousarray(planes).tobytes())
    # Without a time in it: the same numbers give the same page.
    return layout, base64.b64encode(gzip.compress(b"".join(parts), 6, mtime=0)).decode("ascii")


def _rounded(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers whose last bits are zero."""
    with np.errstate(invalid="ignore"):
        mantissa, exponent = np.frexp(column.astype(np.float64))
        scaled = np.ldexp(np.rint(np.ldexp(mantissa, _MANTISSA)), exponent - _MANTISSA)
        kept = np.where(np.isfinite(column), scaled, column).astype(np.float32)
    kept[np.isnan(kept)] = np.nan  # one bit pattern
    return kept


def make_table(
    name: str,
    label: str,
    caption: str,
    specs: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
    *,
    groups: Sequence[Mapping[str, Any]],
    sort: tuple[str, bool],
    file: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    flag: str | None = None,
    step: int = 50,
    limits: Mapping[str, Mapping[str, float]] | None = None,
    source: str | None = None,
) -> EmbeddedTable:
    """A table for `table.js`, whose head describes `specs`.

    Parameters
    ----------
    name, label, caption : str
        Identifier in the page, what a screen reader calls the table, and its caption.
    specs : sequence of dict
        Columns to be shown.
    columns : mapping of str to array [rows]
        Numbers, as `pack_columns` takes them, in the order of the CSV file.
    groups : sequence of dict
        key, label and whether shown, of sets of columns.
    sort : tuple of str and bool
        Column, and whether the largest stands first.
    file : str
        Name of the CSV file.
    headings, rows : sequences
        What stands there before (and without) the script: texts.
    flag : str, optional
        Column that is 1 where shares are values, not percent.
    step : int
        Rows shown at first.
    limits : mapping, optional
        By column, what is chosen at first: ``{"choose": value}``, of texts their number.
    source : str, optional
        Where all rows are to be found.
    """
    layout, packed = pack_columns(columns)
    content = {
        "id": name,
        "file": file,
        "rows": len(next(iter(columns.values()))),
        "step": step,
        "limits": dict(limits or {}),
        "sort": list(sort),
        "flag": flag,
        "groups": list(groups),
        "columns": list(specs),
        "layout": layout,
        "packed": packed,
    }
    return EmbeddedTable(
        name,
        label,
        caption,
        tuple(headings),
        tuple(map(tuple, rows)),
        script_json(content),
        source,
    )


def embed_figure(figure: Figure, alt: str, caption: str) -> EmbeddedFigure:
    """A matplotlib figure as a PNG with a palette, which is a third of the size.

    Drawn with more pixels than it is shown with, for screens that have them, and for paper.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    image = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    image = image.convert("RGB").quantize(
        _COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    stream = io.BytesIO()
    image.save(stream, format="png", compress_level=6)
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    shown = [round(size * _SHOWN / _DPI) for size in (width, height)]
    return EmbeddedFigure(uri, alt, caption, *shown)
