"""Pointing at pairs and residues with mouse and keyboard, and zooming, in a real browser."""

from __future__ import annotations

import pytest
from companion_page import FRAME, hovered, inked, opened, readouts, run


@pytest.fixture
def page(browser, tmp_path):
    with opened(browser, tmp_path / "page.html") as page:
        yield page


# Places of chain A: 54 is residue 52, 55 and 56 are 52A and 52B, 90 is 186 for the jump, 31 has
# no number; those of chain B begin at 301.
@pytest.mark.parametrize(
    "chain, query, key, words",
    [
        (0, 55, 90, "A:GLY 52A – A:GLY 186"),
        (0, 10, 31, "A:GLY 8 – A:GLY [32]"),
        (1, 0, 69, "B:GLY 301 – B:GLY 370"),
    ],
)
def test_contact_map_names_the_pair_under_the_pointer(page, chain, query, key, words):
    box = page.locator("#contact-map .companion-stage").bounding_box()
    x, y = page.evaluate(f"""() => {{
        contactMap.arcs.drawn.length = 0;               // cells alone
        return [contactMap.axis.at({chain}, {key}), contactMap.rows.at({chain}, {query})];
    }}""")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.evaluate(FRAME)
    assert hovered(page) == {"chain": chain, "query": query, "key": key}
    assert readouts(page)[0].startswith(words + ":")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    assert hovered(page) is None


def test_between_chains_nothing_is_named(page):
    box = page.locator("#contact-map .companion-stage").bounding_box()
    x, y = page.evaluate("() => [contactMap.axis.at(1, 20), contactMap.rows.at(0, 20)]")
    page.mouse.move(box["x"] + x, box["y"] + y)
    assert hovered(page) is None


@pytest.mark.parametrize("part", ["contactMap", "arcDiagram"])
def test_pointer_on_the_strongest_arc_tells_its_weight(page, part):
    name = {"contactMap": "contact-map", "arcDiagram": "arc-diagram"}[part]
    arc = page.evaluate("() => data.arcs(state)[0]")
    page.locator(f"#{name} .companion-stage").scroll_into_view_if_needed()
    box = page.locator(f"#{name} .companion-stage").bounding_box()
    if part == "contactMap":
        spot = "[contactMap.axis.at(arc.chain, arc.key), contactMap.rows.at(arc.chain, arc.query)]"
    else:
        spot = """(() => {
            const shape = arcDiagram.drawn.shapes.find((each) => each.arc === arc);
            return [shape.middle, shape.base - shape.tall];
        })()"""
    x, y = page.evaluate(f"() => {{ const arc = {part}.arcs.drawn[0]; return {spot}; }}")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.evaluate(FRAME)
    assert hovered(page) == {name: arc[name] for name in ("chain", "query", "key")}
    for words in readouts(page):
        assert f"weight {arc['weight']:.3f}" in words


def test_hover_from_elsewhere_shows_a_cross_hair(page):
    for name in ("contact-map", "arc-diagram"):
        assert inked(page, f"#{name} .companion-overlay") == 0
    run(
        page,
        "const { chain, query, key } = data.arcs(state)[3]; state.hover({ chain, query, key });",
    )
    for name in ("contact-map", "arc-diagram"):
        assert inked(page, f"#{name} .companion-overlay") > 100
    run(page, "state.hover({ chain: 1, residue: 9 });")
    assert all(words.startswith("B:GLY 310: ") for words in readouts(page))
    # A chain that is not shown is not pointed at.
    run(page, "state.set({ chains: new Set([0]) });")
    for name in ("contact-map", "arc-diagram"):
        assert inked(page, f"#{name} .companion-overlay") == 0
    run(page, "state.hover(null);")
    assert readouts(page) == ["", ""]


@pytest.mark.parametrize("part", ["contact-map", "arc-diagram"])
def test_arcs_by_keyboard_strongest_first(page, part):
    page.locator(f"#{part} .companion-stage").focus()
    strongest = page.evaluate("() => data.arcs(state).slice(0, 2)")
    for arc in strongest:
        page.keyboard.press("PageDown")
        assert hovered(page) == {name: arc[name] for name in ("chain", "query", "key")}
    spoken = page.text_content(f"#{part} > .companion-spoken")
    assert f"weight {strongest[1]['weight']:.3f}" in spoken
    page.keyboard.press("PageUp")
    assert hovered(page)["query"] == strongest[0]["query"]
    page.keyboard.press("Escape")
    assert hovered(page) is None


def test_cursor_by_keyboard(page):
    page.locator("#contact-map .companion-stage").focus()
    page.keyboard.press("ArrowRight")
    assert hovered(page) == {"chain": 0, "residue": 0}
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    assert hovered(page) == {"chain": 0, "query": 1, "key": 10}
    page.keyboard.press("Escape")
    page.locator("#arc-diagram .companion-stage").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    # From the end of chain A to the beginning of B, and back.
    assert hovered(page) == {"chain": 1, "residue": 0}
    page.keyboard.press("ArrowLeft")
    assert hovered(page) == {"chain": 0, "residue": 119}


@pytest.mark.parametrize(
    "part, variable", [("contact-map", "contactMap"), ("arc-diagram", "arcDiagram")]
)
def test_zoom_by_keyboard_wheel_and_drag(page, part, variable):
    stage = page.locator(f"#{part} .companion-stage")
    scale = f"() => {variable}.axis.scale"
    before = page.evaluate(scale)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.wheel(0, -100)
    page.evaluate(FRAME)
    assert page.evaluate(scale) == before  # the page's own, as long as the figure was not entered
    stage.focus()
    page.keyboard.press("+")
    page.evaluate(FRAME)
    assert page.evaluate(scale) == pytest.approx(1.5 * before)
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.wheel(0, -100)
    page.evaluate(FRAME)
    assert page.evaluate(scale) > 1.6 * before
    low = page.evaluate(f"() => {variable}.axis.low")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 60, box["y"] + 60, steps=4)
    page.mouse.up()
    page.evaluate(FRAME)
    moved = page.evaluate(f"() => {variable}.axis.low") - low
    assert moved == pytest.approx(60 / page.evaluate(scale), rel=0.02)
    page.keyboard.press("0")
    page.evaluate(FRAME)
    assert page.evaluate(scale) == pytest.approx(before)
