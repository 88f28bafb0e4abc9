"""Figures as files: the same result gives the same bytes."""

from __future__ import annotations

from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provis_fast.atomic import replaced_file
from provis_fast.errors import ArgumentError
from provis_fast.figures import style
from provis_fast.figures.captions import caption as caption_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
#: Without the date, so that bytes depend on the figure alone.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def save(
    figure: Figure, path: str | PathLike[str], *, caption: bool = False, dpi: float = style.DPI
) -> Path:
    """Write a figure as PNG, SVG (text as text) or PDF, told by the ending of its name.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        One of `provis_fast.figures`.
    path : str or path
    caption : bool
        Also draw the caption below the figure.
    dpi : float
        Pixels per inch.

    Returns
    -------
    Path

    Raises
    ------
    ArgumentError
        Another ending; a figure without a caption where `caption` is asked for.
    ResultError
        The file cannot be written.
    """
    path = Path(fspath(path))
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ArgumentError(
            f"path: expected a name that ends in {', '.join('.' + k for k in FORMATS)}, got "
            f"{path.name!r}"
        )
    content = BytesIO()
    with style.styled():
        box = _with_caption(figure, caption_of(figure)) if caption else None
        try:
            figure.savefig(
                content,
                format=kind,
                dpi=dpi,
                metadata=_METADATA[kind],
                bbox_inches=box,
                pad_inches=0,
            )
        finally:
            if box is not None:
                figure.texts[-1].remove()
    with replaced_file(path) as place:
        place.write_bytes(content.getvalue())
    return path


def _with_caption(figure: Figure, text: str) -> Any:
    """Write the caption below the figure; the box in inches that holds both."""
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    lines = _wrapped(figure, text, width - 0.16)
    line = 1.35 * style.SMALL / 72
    below = style.hundredths(line * len(lines) + 0.12)
    style.write(
        figure, 0.08, height + 0.02, "\n".join(lines), fontsize=style.SMALL, linespacing=1.25
    )
    return Bbox([[0, -below], [width, height]])


def _wrapped(figure: Figure, text: str, width: float) -> list[str]:
    """Lines no wider than `width` inches."""
    from matplotlib.font_manager import FontProperties

    renderer, font = figure.canvas.get_renderer(), FontProperties(size=style.SMALL)
    limit = 0.95 * width * figure.dpi  # who draws an SVG sets text a little wider or narrower

    def extent(words: str) -> float:
        return renderer.get_text_width_height_descent(words, font, ismath=False)[0]

    lines: list[str] = []
    for word in text.replace("≥ ", "≥\N{NO-BREAK SPACE}").split(" "):
        if lines and extent(f"{lines[-1]} {word}") <= limit:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
