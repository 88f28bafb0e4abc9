"""The page of a 3-D view, opened from disk in a real browser with the network off."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import contextmanager
from urllib.request import urlopen

import browser as browsers
import numpy as np
import pytest
import view_payloads as payloads
from PIL import Image

pytest.importorskip("ipymolstar")

from provis_fast.viewing import page as view_page

# Milliseconds: software that draws on a busy machine may take its time.
PATIENCE = 180_000


@pytest.fixture(scope="module")
def payload() -> dict:
    return payloads.view_payload()


@pytest.fixture(scope="module")
def opened(browser, payload, tmp_path_factory):
    """One page for all tests, as Mol* takes seconds to start; it was quiet to the end."""
    path = tmp_path_factory.mktemp("view") / "view.html"
    path.write_text(view_page.render(payload), encoding="utf-8")
    # A small window: software that draws counts pixels.
    with browsers.visit(browser, path, 960, 640) as visited:
        visited.page.set_default_timeout(PATIENCE)
        visited.page.wait_for_selector("body[data-ready=true]")
        yield visited


@pytest.fixture
def page(opened):
    """The page with the choices of its start."""
    page = opened.page
    page.evaluate("() => window.scrollTo(0, 0)")
    page.mouse.move(1, 1)
    _choose(page, layer=1, head=2, threshold=0.1, symmetric=True)
    for box in page.query_selector_all("#chains input"):
        box.check()
    return page


def _choose(page, *, layer=None, head=None, threshold=None, symmetric=None) -> None:
    if layer is not None:
        page.select_option("#layer", str(layer))
    if head is not None:
        page.select_option("#head", str(head))
    if threshold is not None:
        page.evaluate(
            """(value) => {
                const slider = document.getElementById("threshold");
                slider.value = value;
                slider.dispatchEvent(new Event("input"));
            }""",
            threshold,
        )
    if symmetric is not None:
        page.check(f"input[name=direction][value={'symmetric' if symmetric else 'directed'}]")


@contextmanager
def _drawing(page):
    """Wait until what is done inside was drawn."""
    page.evaluate(
        """() => {
            window.nextDrawn = new Promise((done) => document.getElementById("scene")
                .addEventListener("drawn", () => done(true), { once: true }));
        }"""
    )
    yield
    assert page.evaluate("() => window.nextDrawn")


def _picture(page) -> np.ndarray:
    """The scene as it is on the screen at rest, int16 [height, width, 3]."""
    before = None
    for _ in range(40):  # edges are smoothed once nothing changes
        page.wait_for_timeout(900)
        image = Image.open(io.BytesIO(page.locator("#scene").screenshot())).convert("RGB")
        now = np.asarray(image).astype(np.int16)
        if before is not None and np.array_equal(before, now):
            return now
        before = now
    return before


def _blue(picture: np.ndarray) -> float:
    """Part of a picture in the colour of contacts, in light or shade."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return float(((blue - red > 50) & (blue - green > 15)).mean())


def _vermilion(picture: np.ndarray) -> float:
    red, green, blue = np.moveaxis(picture, -1, 0)
    return float(((red - blue > 60) & (red - green > 40)).mean())


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Part of the pixels that differ visibly."""
    return float((np.abs(one - other).max(axis=-1) > 24).mean())


def _decoded(array: dict) -> np.ndarray:
    import base64

    return np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).reshape(array["shape"])


def _arcs(payload: dict, head: int, threshold: float, symmetric: bool, chains=(0, 1)) -> list:
    """Arcs by their definition: (weight, chain, query, key), strongest first."""
    found = []
    for c in chains:
        chain = payload["chains"][c]
        n = len(chain["sequence"])
        arcs = {name: _decoded(chain["arcs"][name]) for name in ("starts", "query", "key")}
        weight = np.zeros((n, n), np.float32)
        own = slice(*arcs["starts"][head : head + 2])
        weight[arcs["query"][own], arcs["key"][own]] = _decoded(chain["arcs"]["weight"])[own]
        np.fill_diagonal(weight, 0)
        if symmetric:
            weight = np.triu(np.maximum(weight, weight.T))
        found += [
            (float(weight[i, j]), c, int(i), int(j))
            for i, j in zip(
                *np.nonzero((weight >= np.float32(threshold)) & (weight > 0)), strict=True
            )
        ]
    return sorted(found, key=lambda arc: (-arc[0], *arc[1:]))


def test_scene_shows_structure_and_arcs(opened, page):
    opened.check()
    assert page.inner_text("#loading") == ""
    picture = _picture(page)
    painted = (picture < 250).any(axis=-1).mean()
    assert 0.05 < painted < 0.9
    assert _blue(picture) > 0.0005
    assert _vermilion(picture) > 0.01


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("threshold", [0.1, 0.35, 0.8])
def test_count_is_that_of_the_arcs(page, payload, threshold, symmetric):
    _choose(page, layer=2, head=3, threshold=threshold, symmetric=symmetric)
    n = len(_arcs(payload, 6, threshold, symmetric))
    text = page.inner_text("#count")
    if n > 300:
        assert text.startswith(f"300 of {n} arcs drawn, {n - 300} weaker ones are not")
    else:
        assert text.startswith(f"{n} arcs drawn")
    assert sum(map(int, page.locator("#legend .number").all_inner_texts())) == min(n, 300)


def test_head_threshold_and_direction_change_the_picture(page):
    first = _picture(page)
    with _drawing(page):
        page.click("#previous")
    assert (page.input_value("#layer"), page.input_value("#head")) == ("1", "3")
    head = _picture(page)
    assert _difference(first, head) > 0.02
    with _drawing(page):
        _choose(page, symmetric=False)
    directed = _picture(page)
    assert _difference(head, directed) > 0.02
    with _drawing(page):
        _choose(page, threshold=0.9)
    few = _picture(page)
    assert _vermilion(few) < _vermilion(directed) / 2


def test_structure_and_camera_stay_when_arcs_change(page):
    page.mouse.move(200, 250)
    page.mouse.down()
    page.mouse.move(320, 290, steps=4)
    page.mouse.up()
    page.mouse.move(1, 1)
    with _drawing(page):
        _choose(page, threshold=1)
    assert page.inner_text("#count") == "No arc reaches 1.00"
    bare = _picture(page)
    assert _blue(bare) < 0.001
    with _drawing(page):
        _choose(page, threshold=0.1, head=4)
    assert _difference(bare, _picture(page)) > 0.05
    with _drawing(page):
        _choose(page, threshold=1)
    assert _difference(bare, _picture(page)) < 0.002
    page.click("#reset-camera")
    assert _difference(bare, _picture(page)) > 0.05


def test_a_chain_that_is_left_out_has_no_arcs_and_is_faint(page, payload):
    with _drawing(page):
        _choose(page, threshold=1)
    both = _picture(page)
    with _drawing(page):
        page.uncheck("#chains input[value='1']")
    # Chain B is on the right or on the left; there the picture is lighter.
    assert _difference(both, _picture(page)) > 0.01
    _choose(page, threshold=0.5)
    n = len(_arcs(payload, 1, 0.5, True, chains=(0,)))
    assert page.inner_text("#count").startswith(f"{n} arcs drawn")


def test_pointer_names_residues(page):
    box = page.locator("#scene").bounding_box()
    residue = r"[AB]:[A-Z]{3} (\d+A?|\[\d+\])"
    arc = re.compile(rf"{residue} – {residue}, weight 0\.\d{{3}}, (not )?(in contact|counted)")
    alone = re.compile(rf"{residue}(, helix)?(, binding site)?(, modification)?")
    told = []
    for x, y in ((0.25, 0.4), (0.3, 0.6), (0.35, 0.5), (0.65, 0.6), (0.7, 0.4), (0.75, 0.5)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.wait_for_timeout(500)
        told.append(page.inner_text("#hovered"))
    named = [text for text in told if text]
    assert named
    assert all(arc.fullmatch(text) or alone.fullmatch(text) for text in named), told
    assert any(arc.fullmatch(text) for text in named), told


def test_keyboard_moves_the_slider_and_through_the_ranking(page):
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#threshold-text") == "0.11"
    page.keyboard.press("PageUp")
    assert page.inner_text("#threshold-text") == "0.21"
    page.keyboard.press("n")  # the slider has the keys
    assert page.input_value("#head") == "2"
    page.focus("#save-arcs")

    def rank() -> int:
        return int(page.inner_text("#rank").split()[1])

    first = rank()
    page.keyboard.press("n")
    assert rank() == first + 1
    page.keyboard.press("p")
    assert rank() == first


def test_the_ranking_is_that_of_the_slider_in_all_parts(page):
    page.focus("#threshold")
    for key in ("PageUp", "PageUp", "PageUp"):
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    rows = page.eval_on_selector_all(
        "#heads tbody tr",
        "rows => rows.map((row) => [row.dataset.layer, row.dataset.head, "
        "...[...row.cells].map((cell) => cell.textContent)])",
    )
    assert len(rows) == 12
    for layer, head, rank, _, _, eligible, *_ in rows:
        _choose(page, layer=int(layer), head=int(head))
        told = page.inner_text("#rank")
        assert told.startswith(f"Ranked {rank} of 12: ")
        assert f"{eligible} arcs that count" in told or eligible == "0"


def test_the_worst_head_has_no_next_one_and_says_why(page):
    _choose(page, layer=1, head=1)
    assert page.inner_text("#rank") == "Ranked 12 of 12: no arc that counts for contacts"
    assert page.is_disabled("#next")
    assert page.is_enabled("#previous")


def _saved(page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.click(button)
    assert page.inner_text("#export-message") == ""
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_picture_is_saved(page):
    name, content = _saved(page, "#save-png")
    assert name == "CASE_layer1_head2.png"
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    box = page.locator("#scene").bounding_box()
    assert image.width == pytest.approx(2 * box["width"], abs=8)
    assert image.height == pytest.approx(2 * box["height"], abs=8)
    picture = np.asarray(image.convert("RGB")).astype(np.int16)
    assert _vermilion(picture) > 0.01
    assert _blue(picture) > 0.0005


def test_scene_is_saved_with_the_structure_inside(page, payload):
    _choose(page, threshold=0.4)
    name, content = _saved(page, "#save-scene")
    assert name == "CASE_layer1_head2.mvsj"
    scene = json.loads(content)
    assert scene["metadata"]["version"] == "1"
    children = {child["kind"]: child for child in scene["root"]["children"][:3]}
    with urlopen(children["download"]["params"]["url"]) as stored:
        text = stored.read().decode()
    assert text.count("\nATOM ") == payload["structure"]["data"].count("\nATOM ") > 500
    arcs = next(child for child in scene["root"]["children"] if child.get("ref") == "arcs")
    expected = _arcs(payload, 1, 0.4, True)
    drawable = [arc for arc in expected if not (arc[1] == 0 and 5 in arc[2:])]
    assert len(arcs["children"]) == len(drawable) > 20
    ca = _decoded(payload["chains"][drawable[0][1]]["ca"])
    first = arcs["children"][0]["params"]
    assert first["kind"] == "tube"
    np.testing.assert_allclose(first["start"], ca[drawable[0][2]], rtol=1e-6)
    np.testing.assert_allclose(first["end"], ca[drawable[0][3]], rtol=1e-6)


def test_arcs_are_saved(page, payload):
    _choose(page, symmetric=False)
    name, content = _saved(page, "#save-arcs")
    assert name == "CASE_layer1_head2.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"))))
    expected = _arcs(payload, 1, 0.1, False)[:300]
    assert len(rows) == 300
    for row, (weight, chain, query, key) in zip(rows, expected, strict=True):
        assert float(row["weight"]) == pytest.approx(weight, rel=1e-6)
        assert row["chain"] == "AB"[chain]
        assert (int(row["query_position"]), int(row["key_position"])) == (query + 1, key + 1)
    names = {row["query_position"]: row["query_residue"] for row in rows if row["chain"] == "A"}
    assert names["13"].endswith(" 22A")
    assert {row["contact"] for row in rows} == {"true", "false", ""}


def test_arcs_are_a_table_as_well_and_point_into_the_scene(page, payload):
    _choose(page, threshold=0.6)
    page.click("#shown summary")
    rows = page.locator("#shown tbody tr")
    rows.first.wait_for()
    expected = _arcs(payload, 1, 0.6, True)
    assert rows.count() == len(expected)
    page.evaluate("() => window.scrollTo(0, 0)")
    with _drawing(page):
        rows.first.dispatch_event("mouseenter")
    red, green, blue = np.moveaxis(_picture(page), -1, 0)
    marked = ((red > 150) & (green > 140) & (blue < 120)).mean()
    with _drawing(page):
        rows.first.dispatch_event("mouseleave")
    red, green, blue = np.moveaxis(_picture(page), -1, 0)
    assert ((red > 150) & (green > 140) & (blue < 120)).mean() < marked
    page.click("#shown summary")


def test_controls_have_names(page):
    for name in ("Layer", "Head", "Weight from"):
        assert page.get_by_label(name, exact=True).count() == 1
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("#controls button, #controls input, "
            + "#controls select")].filter((one) => !one.textContent.trim() && !one.labels?.length)
            .length"""
    )
    assert nameless == 0


@pytest.mark.parametrize("width", [700, 1280])
def test_nothing_is_wider_than_the_window(opened, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    try:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        box = page.locator("#scene").bounding_box()
        assert box["width"] > 0.5 * width
    finally:
        page.set_viewport_size({"width": 960, "height": 640})


def test_licences_are_kept(page):
    text = page.locator("#licences").text_content()
    assert "Copyright (c) 2017 - now, Mol* contributors" in text
    assert "Copyright (c) 2024 Jochem Smit" in text
    assert text.count("THE SOFTWARE IS PROVIDED") == 2
