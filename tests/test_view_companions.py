"""Contact map, arc diagram and table of heads beside the 3-D view, in a real browser."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from xml.etree import ElementTree

import browser as browsers
import companion_cases as cases
import pytest

PAYLOAD = cases.made_up_payload()
SVG = "{http://www.w3.org/2000/svg}"
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return cases.write_page(PAYLOAD, tmp_path_factory.mktemp("companions") / "page.html")


@pytest.fixture
def page(browser, path):
    """The page, just opened; in the end it was quiet."""
    with browsers.visit(browser, path) as visit:
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


def test_threshold_redraws_and_counts_heads_again(page):
    run(page, "state.set({ threshold: 0.55 });")
    expected = expected_pairs(2, 3, 0.55, symmetric=True)
    assert 20 < expected < expected_pairs(2, 3, 0.1, True)
    assert drawn(page) == (expected, expected)
    wanted = cases.counts_of_heads(cases.facts_of(PAYLOAD), 0.55)
    assert column(page, 1) == [f"{head['layer']}-{head['head']}" for head in wanted]
    assert column(page, 2) == [str(head["arcs"]) for head in wanted]
    assert column(page, 3) == [str(head["eligible"]) for head in wanted]
    assert column(page, 4) == [str(head["contacts"]) for head in wanted]
    assert column(page, 5) == [
        "–" if head["proportion"] is None else f"{100 * head['proportion']:.1f}%" for head in wanted
    ]


def test_page_counts_as_the_payload_does(page):
    """The counting in the page gives the payload's own numbers at the payload's threshold."""
    same = page.evaluate("() => headTable.counts.at(0.1 + 1e-9, state.chains)")
    for found, stored in zip(same, PAYLOAD["heads"], strict=True):
        assert {name: found[name] for name in stored} == pytest.approx(stored)


def test_chosen_chains_are_counted_and_drawn_alone(page):
    run(page, "state.set({ chains: new Set([1]) });")
    expected = expected_pairs(2, 3, 0.1, True, chains=[1])
    assert drawn(page) == (expected, expected)
    wanted = cases.counts_of_heads(cases.facts_of(PAYLOAD)[1:], 0.1)
    assert column(page, 2) == [str(head["arcs"]) for head in wanted]
    assert column(page, 6) == [f"{100 * head['background']:.1f}%" for head in wanted]
    assert "chain B" in page.text_content("#heads .companion-summary")
    run(page, "state.set({ chains: new Set() });")
    assert drawn(page) == (0, 0)


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


def test_click_on_a_row_chooses_the_head(page):
    before = page.text_content("#contact-map > .companion-summary")
    row = page.locator("#heads tbody tr").nth(7)
    number = row.locator("th").text_content()
    row.locator("td").nth(3).click()
    page.evaluate(FRAME)
    assert page.evaluate("() => `${state.layer}-${state.head}`") == number
    after = page.text_content("#contact-map > .companion-summary")
    assert after != before and after.startswith(f"Head {number}:")
    layer, head = map(int, number.split("-"))
    assert drawn(page)[0] == expected_pairs(layer, head, 0.1, True)
    assert page.locator("#heads tr.companion-chosen").count() == 1
    assert page.locator("#heads [aria-current=true]").text_content() == number


def test_table_by_keyboard(page):
    page.locator("#heads [aria-current=true]").focus()
    numbers = column(page, 1)
    place = numbers.index("2-3")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.evaluate(FRAME)
    assert page.evaluate("() => `${state.layer}-${state.head}`") == numbers[place + 2]
    # One row is reached by Tab, whatever was chosen.
    assert page.locator("#heads tbody button[tabindex='0']").count() == 1


@pytest.mark.parametrize("number, name", [(2, "Arcs"), (4, "Contacts"), (5, "Share")])
def test_sorting(page, number, name):
    header = page.locator("#heads thead th", has_text=name)
    for direction in ("descending", "ascending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == direction
        assert page.locator("#heads thead th[aria-sort]").count() == 1
        values = [each.rstrip("%") for each in column(page, number)]
        numbers = [float(each) for each in values if each != "–"]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(set(numbers)) > 2
        # What has no value is last either way.
        assert values[len(numbers) :] == ["–"] * (len(values) - len(numbers))
    assert Counter(column(page, 1)) == Counter(
        f"{layer}-{head}" for layer in (1, 2, 3) for head in (1, 2, 3, 4)
    )


def test_sorting_by_head_is_by_number(page):
    page.click("#heads thead th:has-text('Head') button")
    assert column(page, 1) == [f"{layer}-{head}" for layer in (1, 2, 3) for head in (1, 2, 3, 4)]


def test_grid_chooses_by_mouse_and_keyboard(page):
    # Cells are where the grid says; the third layer's second head.
    side = page.evaluate("() => headTable.grid.side")
    x, y = 44 + 1.5 * side, 34 + 2.5 * side
    page.locator("#heads .companion-grid").click(position={"x": x, "y": y})
    assert page.evaluate("() => [state.layer, state.head]") == [3, 2]
    page.mouse.move(2, 2)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#heads .companion-readout").startswith("Head 2-3: ")
    page.keyboard.press("Enter")
    assert page.evaluate("() => [state.layer, state.head]") == [2, 3]


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


def test_canvases_have_the_pixels_of_the_screen(browser, path):
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
        contacts=cases.encoded(cases.decoded(small["contacts"])[:0]),
        known=cases.encoded(cases.decoded(small["known"])[:1]),
        ca=cases.encoded(cases.decoded(small["ca"])[:1]),
        tracks=[],
    )  # fmt: skip
    n = cases.N_LAYERS * cases.N_HEADS
    empty = {name: cases.decoded(array)[:0] for name, array in small["arcs"].items()}
    empty["starts"] = cases.decoded(small["arcs"]["starts"])[: n + 1] * 0
    small["arcs"] = {name: cases.encoded(array) for name, array in empty.items()}
    with browsers.visit(browser, cases.write_page(payload, tmp_path / "page.html")) as visit:
        visit.page.evaluate(FRAME)
        run(visit.page, "state.set({ chains: new Set([1]) });")
        assert drawn(visit.page) == (0, 0)
        assert set(column(visit.page, 6)) == {"–"}
        assert len(arc_paths(saved(visit.page, "arc-diagram"))) == 0
