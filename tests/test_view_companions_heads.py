"""Table and grid of heads beside the 3-D view, in a real browser."""

from __future__ import annotations

from collections import Counter

import companion_cases as cases
import pytest
from companion_page import FRAME, PAYLOAD, column, drawn, expected_pairs, opened, run


@pytest.fixture
def page(browser, tmp_path):
    with opened(browser, tmp_path / "page.html") as page:
        yield page


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
