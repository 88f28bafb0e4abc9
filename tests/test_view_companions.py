"""Contact map and arc diagram beside the 3-D view, in a real browser."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from xml.etree import ElementTree

import browser as browsers
import companion_cases as cases
import pytest
from companion_page import (
    FRAME,
    PAYLOAD,
    SVG,
    arc_paths,
    column,
    drawn,
    expected_pairs,
    hovered,
    inked,
    opened,
    readouts,
    run,
    saved,
)
from view_cases import decoded
from view_payloads import encoded


@pytest.fixture
def page(browser, tmp_path):
    with opened(browser, tmp_path / "page.html") as page:
        yield page


def test_all_arcs_are_drawn_in_both_figures(page):
    expected = expected_pairs(2, 3, 0.1, symmetric=True)
    assert 100 < expected <= 300
    assert drawn(page) == (expected, expected)
    for name in ("contact-map", "arc-diagram"):
        assert inked(page, f"#{name} .companion-paper") > 1000
        assert inked(page, f"#{name} .companion-marks", "#0072B2") > 100
        assert inked(page, f"#{name} .companion-marks", "#D55E00") > 50


def test_text_alternatives_count_contacts_and_arcs(page):
    contacts = sum(len(facts["contacts"]) for facts in cases.facts_of(PAYLOAD))
    label = page.get_attribute("#contact-map [role=img]", "aria-label")
    assert f"{contacts} contacts in chains A, B" in label
    assert f"{expected_pairs(2, 3, 0.1, True)} arcs of weight 0.1 or more" in label
    label = page.get_attribute("#arc-diagram [role=img]", "aria-label")
    assert "chain A, 120 residues" in label and "chain B, 70 residues" in label
    assert "binding site" in label
    numbers = [int(each) for each in re.findall(r"(\d+) (?:in|not)", label.partition("Drawn")[2])]
    assert sum(numbers) == expected_pairs(2, 3, 0.1, True)


def test_no_more_than_the_strongest_are_drawn(browser, tmp_path):
    payload = cases.made_up_payload(per_head=400)
    path = cases.write_page(payload, tmp_path / "page.html")
    with browsers.visit(browser, path) as visit:
        visit.page.evaluate(FRAME)
        total = visit.page.evaluate("() => data.arcs(state).length")
        assert total > 500
        assert drawn(visit.page) == (300, 300)
        for name in ("contact-map", "arc-diagram"):
            assert f"300 strongest are drawn and {total - 300} are not" in visit.page.text_content(
                f"#{name} > .companion-summary"
            )
            assert len(arc_paths(saved(visit.page, name))) == 300


def test_chains_follow_each_other_on_the_axes(page):
    edges = page.evaluate("""() =>
        [arcDiagram.axis, contactMap.axis, contactMap.rows].map((axis) => ({
        scale: axis.scale, from: axis.from, to: axis.to,
        a: axis.edge(0, 0), aEnd: axis.edge(0, 120), b: axis.edge(1, 0), bEnd: axis.edge(1, 70),
    }))""")
    for axis in edges:
        assert axis["a"] == pytest.approx(axis["from"])
        assert axis["aEnd"] - axis["a"] == pytest.approx(120 * axis["scale"])
        assert axis["b"] > axis["aEnd"] + axis["scale"]  # a gap between chains
        assert axis["bEnd"] - axis["b"] == pytest.approx(70 * axis["scale"])
        assert axis["bEnd"] == pytest.approx(axis["to"])


def test_directed_arcs_lie_on_their_side(page):
    run(page, "state.set({ symmetric: false });")
    expected = expected_pairs(2, 3, 0.1, symmetric=False)
    assert drawn(page) == (expected, expected)
    sides = page.evaluate("""() => arcDiagram.drawn.shapes.map(({ arc, up, base }) =>
        [arc.query < arc.key, up, base === arcDiagram.drawn.base])""")
    assert all(len(set(each)) == 1 for each in sides)
    assert {up for _, up, _ in sides} == {True, False}
    # Rows are queries: above the diagonal, those before their keys.
    box = page.locator("#contact-map .companion-stage").bounding_box()
    x, y = page.evaluate("""() => {
        contactMap.arcs.drawn.length = 0;
        return [contactMap.axis.at(0, 5), contactMap.rows.at(0, 60)];
    }""")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.evaluate(FRAME)
    assert hovered(page) == {"chain": 0, "query": 60, "key": 5}
    assert "→" in readouts(page)[0]


@pytest.mark.parametrize("part", ["contact-map", "arc-diagram"])
def test_svg_is_a_figure_of_its_own(page, part):
    figure = saved(page, part)
    assert figure.tag == f"{SVG}svg" and figure.get("width").endswith("mm")
    arcs = page.evaluate("() => data.arcs(state).map((arc) => arc.contact)")
    paths = arc_paths(figure)
    assert len(paths) == len(arcs)
    colours = Counter((path.get("stroke"), path.get("fill")) for path in paths)
    by_kind = Counter(arcs)
    stroke = {"contact-map": ("#FFFFFF", "#0072B2"), "arc-diagram": ("#0072B2", "none")}[part]
    assert colours[stroke] == by_kind[True]
    assert sum(n for (line, _), n in colours.items() if line == "#D55E00") == by_kind[False]
    assert sum(n for (line, _), n in colours.items() if line == "#7F7F7F") == by_kind[None]
    texts = [each.text for each in figure.iter(f"{SVG}text")]
    assert texts[0] == "Made <up> & more: head 2-3 of tiny"
    assert {"chain A", "chain B", "20", "200", "320"} <= set(texts)
    assert "arc, in contact" in texts and "arc, not in contact" in texts
    names = [path.find(f"{SVG}title").text for path in paths]
    assert len(set(names)) == len(names) and all("weight 0." in each for each in names)
    # Nothing outside of the file is referred to, but the namespace.
    text = ElementTree.tostring(figure, encoding="unicode")
    assert set(re.findall(r"https?://[^\s\"]+", text)) == {"http://www.w3.org/2000/svg"}
    if part == "arc-diagram":
        dashes = Counter(path.get("stroke-dasharray") for path in paths)
        assert dashes[None] == by_kind[True]  # solid in grey as well


def test_ticks_are_round_numbers_of_the_author(page):
    ticks = page.evaluate(
        "() => arcDiagram.axis.ticks(42).map(({ chain, label }) => [chain, label])"
    )
    numbers = {chain: [int(label) for index, label in ticks if index == chain] for chain in (0, 1)}
    for values in numbers.values():
        assert values == sorted(values) and len(values) >= 3
        step = min(b - a for a, b in itertools.pairwise(values))
        assert step >= 10
        assert all(value % step == 0 for value in values)
    assert max(numbers[0]) > 180 and not any(76 < value < 176 for value in numbers[0])
    for index, label in ticks:
        assert label in PAYLOAD["chains"][index]["numbers"]


def test_unresolved_residues_are_shaded_and_said(page):
    assert inked(page, "#contact-map .companion-paper", "#ECE7DC") > 200
    run(page, "state.hover({ chain: 0, residue: 33 });")
    assert all("A:GLY [34], unresolved" in words for words in readouts(page))
    run(page, "state.set({ chains: new Set([1]) });")
    assert inked(page, "#contact-map .companion-paper", "#ECE7DC") == 0


def test_canvases_have_the_pixels_of_the_screen(browser, tmp_path):
    path = cases.write_page(PAYLOAD, tmp_path / "page.html")
    context = browser.new_context(
        offline=True, viewport={"width": 900, "height": 700}, device_scale_factor=2
    )
    try:
        page = context.new_page()
        page.goto(path.as_uri())
        page.evaluate(FRAME)
        sizes = "canvas => [canvas.width, canvas.clientWidth]"
        width, shown = page.eval_on_selector("#arc-diagram .companion-marks", sizes)
        assert width == 2 * shown
        page.set_viewport_size({"width": 700, "height": 700})
        page.wait_for_function(
            f"document.querySelector('#arc-diagram canvas').clientWidth < {shown}"
        )
        width, shown = page.eval_on_selector("#arc-diagram .companion-marks", sizes)
        assert width == 2 * shown
    finally:
        context.close()


def test_one_residue_chain_without_contacts(browser, tmp_path):
    """A chain of a single residue beside another: nothing is divided by nothing."""
    payload = cases.made_up_payload()
    small = payload["chains"][1]
    small.update(
        sequence="G", numbers=["7"], residues=["GLY"], label_seq=[1],
        contacts=encoded(decoded(small["contacts"])[:0]),
        known=encoded(decoded(small["known"])[:1]),
        ca=encoded(decoded(small["ca"])[:1]),
        tracks=[],
    )  # fmt: skip
    n = cases.N_LAYERS * cases.N_HEADS
    empty = {name: decoded(array)[:0] for name, array in small["arcs"].items()}
    empty["starts"] = decoded(small["arcs"]["starts"])[: n + 1] * 0
    small["arcs"] = {name: encoded(array) for name, array in empty.items()}
    with browsers.visit(browser, cases.write_page(payload, tmp_path / "page.html")) as visit:
        visit.page.evaluate(FRAME)
        run(visit.page, "state.set({ chains: new Set([1]) });")
        assert drawn(visit.page) == (0, 0)
        assert set(column(visit.page, 6)) == {"–"}
        assert len(arc_paths(saved(visit.page, "arc-diagram"))) == 0
