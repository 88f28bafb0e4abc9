"""Takes the picture of a view that docs/tutorial.md shows, in a real browser:

    python tests/tutorial_picture.py tcr.html docs/images/view.png

The first is the page that the tutorial's code writes. It is for readers, and compared with nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import browser
from PIL import Image

#: Milliseconds; Mol* without a graphics card may take its time.
_PATIENCE = 180_000
_COLOURS = 256


def take(page: Path, picture: Path) -> None:
    """Picture of a page as it opens, in few colours to keep it small."""
    with browser.started() as started, browser.visit(started, page, 1280, 1130) as opened:
        opened.page.wait_for_selector("body[data-ready=true]", timeout=_PATIENCE)
        opened.page.wait_for_timeout(3000)  # the last frame
        opened.page.screenshot(path=picture)
    with Image.open(picture) as taken:
        small = taken.convert("RGB").resize((960, 848), Image.Resampling.LANCZOS)
        # Octrees keep the few blue arcs blue.
        small.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            picture, optimize=True
        )


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
