"""docs/tutorial.md: its code is run; what it prints and draws is what the page shows.

Where the page is meant to change, its outputs and pictures are made anew in an empty folder:

    python CLONE/tests/documents.py CLONE/docs/tutorial.md && cp images/* CLONE/docs/images/

`tutorial_picture` makes the one of the view.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import documents
import matplotlib
import pytest
from matplotlib.testing.compare import compare_images
from PIL import Image

from provis_fast.written_pages import is_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
IMAGES = PAGE.parent / "images"
SCREENSHOT = "view.png"
#: Root mean square of the difference, of 255: a bar may end a pixel further.
TOLERANCE = 2.0


@pytest.fixture(scope="module")
def text() -> str:
    if not PAGE.exists():
        pytest.skip("docs/ is not beside tests/")
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran(text, tmp_path_factory):
    """What each block prints, and the folder in which they were run."""
    pytest.importorskip("antiberty")
    folder = tmp_path_factory.mktemp("tutorial")
    before = os.getcwd()
    os.chdir(folder)
    try:
        namespace = {"__name__": "__main__"}
        printed = [documents.run(block, str(PAGE), namespace) for block in documents.blocks(text)]
    finally:
        os.chdir(before)
    return printed, folder


def pictures(text: str) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", text)


def test_every_number_is_computed(text, ran):
    printed, _ = ran
    blocks = documents.blocks(text)
    assert len(blocks) > 10
    for block, got in zip(blocks, printed, strict=True):
        assert documents.same(block.output or "", got), (
            f"{PAGE.name}, line {block.line}\nshows\n{block.output}\nbut prints\n{got}"
        )


def test_every_text_is_behind_code(text):
    """No output was typed in by hand where no code makes it."""
    shown = [block.output for block in documents.blocks(text) if block.output is not None]
    assert text.count("```text") == len(shown)


def test_its_pages(ran):
    _, folder = ran
    for page in ("tcr.html", "comparison.html", "result/report.html"):
        assert is_page(folder / page)


def test_its_pictures(text):
    names = pictures(text)
    assert sorted(names) == sorted(path.name for path in IMAGES.iterdir())
    for name in names:
        assert (IMAGES / name).stat().st_size < 80_000, name
        with Image.open(IMAGES / name) as picture:
            assert picture.width >= 360 and len(picture.convert("RGB").getcolors(1 << 24)) > 20


def test_its_figures(text, ran):
    _, folder = ran
    for name in pictures(text):
        if name == SCREENSHOT:
            continue
        drawn = folder / "images" / name
        software = Image.open(IMAGES / name).text["Software"]
        major, minor = matplotlib.__version_info__[:2]
        if f"Matplotlib version{major}.{minor}." not in software:
            assert drawn.stat().st_size > 5_000  # another version sets letters differently
            continue
        expected = folder / f"expected-{name}"  # what differs may be drawn beside it
        expected.write_bytes((IMAGES / name).read_bytes())
        assert compare_images(str(expected), str(drawn), tol=TOLERANCE) is None
