"""What tests read off a page of `companion_cases`, and do to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import browser as browsers
import companion_cases as cases

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAYLOAD = cases.made_up_payload()
SVG = "{http://www.w3.org/2000/svg}"
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def opened(browser, path: Path) -> Iterator[Page]:
    """The page of the made-up view, with everything drawn; in the end it was quiet."""
    with browsers.visit(browser, cases.write_page(PAYLOAD, path)) as visit:
        visit.page.evaluate(FRAME)
        yield visit.page


def run(page, code: str):
    """What some JavaScript gives; the page has drawn what followed from it."""
    value = page.evaluate(f"() => {{ {code} }}")
    page.evaluate(FRAME)
    return value


def drawn(page) -> tuple[int, int]:
    return tuple(
        int(page.get_attribute(f"#{name}", "data-arcs")) for name in ("contact-map", "arc-diagram")
    )


def hovered(page):
    return page.evaluate("() => state.hovered")


def readouts(page) -> list[str]:
    return [
        page.text_content(f"#{name} > .companion-readout").strip()
        for name in ("contact-map", "arc-diagram")
    ]


def column(page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        "#heads tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent)"
    )


def inked(page, canvas: str, colour: str | None = None) -> int:
    """Pixels of a canvas that are not clear; or that have a colour, "#0072B2"."""
    return page.evaluate(
        """([selector, colour]) => {
            const canvas = document.querySelector(selector);
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const wanted = colour && [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
            let count = 0;
            for (let k = 0; k < data.length; k += 4) {
                if (data[k + 3] === 0) continue;
                if (!wanted || wanted.every((part, c) => Math.abs(part - data[k + c]) < 3)) count++;
            }
            return count;
        }""",
        [canvas, colour],
    )


def saved(page, name: str) -> ElementTree.Element:
    """The figure that the button SVG of a part gives."""
    with page.expect_download() as download:
        page.click(f"#{name} button:has-text('SVG')")
    assert download.value.suggested_filename.endswith(f"{name.replace('-', '_')}.svg")
    return ElementTree.parse(download.value.path()).getroot()


def arc_paths(figure: ElementTree.Element) -> list[ElementTree.Element]:
    (group,) = (each for each in figure.iter(f"{SVG}g") if each.get("class") == "arcs")
    return list(group.iter(f"{SVG}path"))


def expected_pairs(layer: int, head: int, threshold: float, symmetric: bool, chains=(0, 1)) -> int:
    """Arcs to draw, counted from the payload itself; none joins a residue to itself."""
    total = 0
    number = (layer - 1) * cases.N_HEADS + head - 1
    for chain in chains:
        facts = cases.facts_of(PAYLOAD)[chain]
        pairs = set()
        for k in range(facts["starts"][number], facts["starts"][number + 1]):
            query, key = int(facts["query"][k]), int(facts["key"][k])
            if facts["weight"][k] >= threshold and query != key:
                pairs.add(tuple(sorted((query, key))) if symmetric else (query, key))
        total += len(pairs)
    return total
