"""Figures and table within the page of the 3-D view: all parts show and choose the same."""

from __future__ import annotations

import browser as browsers
import pytest
from companion_page import FRAME, column, drawn
from view_payloads import view_payload

pytest.importorskip("ipymolstar")

from provis_fast.viewing import page as view_page


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "view.html"
    path.write_text(view_page.render(view_payload()), encoding="utf-8")
    return path


def test_figures_table_and_controls_agree(browser, path):
    """The figures do not wait for Mol*, and neither does this test."""
    with browsers.visit(browser, path) as visit:
        page = visit.page
        page.wait_for_selector("#heads tbody tr")
        page.evaluate(FRAME)
        assert drawn(page) == (300, 300)
        assert page.text_content("#count").startswith("300 of ")

        page.click("#heads tbody button[data-head='3-4']")
        page.evaluate(FRAME)
        assert (page.input_value("#layer"), page.input_value("#head")) == ("3", "4")
        page.select_option("#layer", "2")
        page.evaluate(FRAME)
        assert page.text_content("#heads [aria-current=true]") == "2-4"
        assert page.text_content("#contact-map > .companion-summary").startswith("Head 2-4:")

        page.fill("#threshold", "0.9")
        page.evaluate(FRAME)
        number = drawn(page)[0]
        assert 0 < number < 300 and drawn(page) == (number, number)
        assert page.text_content("#count").startswith(f"{number} arcs drawn")

        before = column(page, 2)
        page.locator("#chains input").nth(1).uncheck()
        page.evaluate(FRAME)
        assert 0 < drawn(page)[0] < number
        assert all(int(a) < int(b) for a, b in zip(column(page, 2), before, strict=True))

        page.locator("#contact-map .companion-stage").focus()
        page.keyboard.press("PageDown")
        page.evaluate(FRAME)
        assert hovered_words(page) != ""
        page.keyboard.press("Escape")
        page.evaluate(FRAME)
        assert hovered_words(page) == ""


def hovered_words(page) -> str:
    """What the page says under the structure of what is pointed at in the contact map."""
    return page.text_content("#hovered").strip()
