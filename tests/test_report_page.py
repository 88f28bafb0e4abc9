"""Reports in a real browser, opened from disk without a network."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import visit
from report_cases import CONTACT, HOSTILE, drawn_result, key_class, value

import provis_fast as pf
from provis_fast import storage
from provis_fast.reporting import embedding

SPECS = (CONTACT, key_class("structure", "helix", "strand"), value("scale"))
ROWS = "table.numbers tbody tr"
EXACT = ["layer", "head", "property", "class", "statistic", "threshold", "eligible", "units"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("report") / "out"
    drawn_result(SPECS, n_layers=6, n_heads=12).save(place)
    pf.report(place)
    return place


@pytest.fixture(scope="module")
def expected(folder) -> pd.DataFrame:
    """What the page's table holds; layers and heads from 1."""
    table = storage.load(folder).infer()
    return table.assign(layer=table["layer"] + 1, head=table["head"] + 1)


@pytest.fixture
def opened(browser, folder):
    with visit(browser, folder / "report.html") as opened:
        opened.page.wait_for_selector("[data-ready]")
        yield opened


def column(page, key: str) -> list[str]:
    """Texts of a column, as shown."""
    place = page.eval_on_selector_all(
        "table.numbers thead th:not([hidden])", "cells => cells.map(cell => cell.dataset.key)"
    ).index(key)
    return page.eval_on_selector_all(
        ROWS, "(rows, place) => rows.map(row => row.cells[place].textContent)", place
    )


def status(page) -> str:
    return page.inner_text(".table-status")


def click_heading(page, key: str) -> None:
    page.click(f'th[data-key="{key}"] button')


def test_the_table_holds_the_inference(opened, expected):
    assert f"of {len(expected):,} rows" in status(opened.page)
    assert opened.page.locator(ROWS).count() == 50
    best = expected.sort_values("enrichment", ascending=False, kind="stable").iloc[0]
    assert column(opened.page, "name")[0] == f"{best['layer']}-{best['head']}"


def test_the_first_rows_are_those_of_the_page_without_scripts(browser, folder):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    before = page.eval_on_selector_all(
        ROWS, "rows => rows.map(row => [...row.cells].map(c => c.textContent.trim()))"
    )
    assert page.is_visible("text=Without JavaScript") and not page.is_visible(".controls")
    assert not page.is_visible("text=Download all rows")
    context.close()
    with visit(browser, folder / "report.html") as opened:
        opened.page.wait_for_selector("[data-ready]")
        after = opened.page.eval_on_selector_all(
            ROWS, "rows => rows.map(row => [...row.cells].map(c => c.textContent.trim()))"
        )
        assert opened.page.is_visible("text=Download all rows")
    shown = [[cell for cell in row if cell] for row in after]
    assert [row[:2] for row in before] == [row[:2] for row in shown]
    assert before == after


def test_headings_sort_numbers_as_numbers(opened, expected):
    page = opened.page
    click_heading(page, "eligible")
    shown = [int(text.replace(",", "")) for text in column(page, "eligible")]
    assert shown == sorted(expected["eligible"].astype(int), reverse=True)[:50]
    assert page.get_attribute('th[data-key="eligible"]', "aria-sort") == "descending"
    click_heading(page, "eligible")
    shown = [int(text.replace(",", "")) for text in column(page, "eligible")]
    assert shown == sorted(expected["eligible"].astype(int))[:50]
    assert page.get_attribute('th[data-key="eligible"]', "aria-sort") == "ascending"
    assert page.get_attribute('th[data-key="enrichment"]', "aria-sort") == "none"
    click_heading(page, "name")
    ordered = expected.sort_values(["layer", "head"], kind="stable")
    names = [f"{row.layer}-{row.head}" for row in ordered.head(50).itertuples()]
    assert column(page, "name") == names
    # What is undefined comes last, whichever way.
    for _ in range(2):
        click_heading(page, "log_q")
        assert column(page, "log_q")[0] != ""


def test_filters(opened, expected):
    page = opened.page
    page.select_option("#heads-property-choose", label="structure")
    assert set(column(page, "property")) == {"structure"}
    classes = page.eval_on_selector_all(
        "#heads-class-choose option", "options => options.map(option => option.textContent)"
    )
    assert classes == ["all", "helix", "strand"]
    page.select_option("#heads-class-choose", label="strand")
    page.select_option("#heads-layer-choose", label="3")
    kept = expected.query("property == 'structure' and `class` == 'strand' and layer == 3")
    assert page.locator(ROWS).count() == len(kept) == 12
    page.fill("#heads-log_q-maximum", "0.05")
    assert page.locator(ROWS).count() == (kept["log_q"] <= np.log(0.05)).sum()
    # Another property has other classes: the choice of one is given up.
    page.select_option("#heads-property-choose", label="contact")
    assert set(column(page, "property")) == {"contact"}
    page.click("text=Show all")
    assert f"of {len(expected):,} rows" in status(page)
    least = int(expected["eligible"].quantile(0.7))
    page.fill("#heads-eligible-minimum", str(least))
    n = (expected["eligible"] >= least).sum()
    assert f"of {n:,} rows (of {len(expected):,})" in status(page)
    page.fill("#heads-eligible-minimum", "1e9")
    assert page.locator(ROWS).count() == 0 and "0 of 0 rows" in status(page)


def test_more_rows_and_columns(opened, expected):
    page = opened.page
    page.click("text=Show 200 more")
    assert page.locator(ROWS).count() == 250
    page.click(f"text=Show {len(expected) - 250} more")
    assert page.locator(ROWS).count() == len(expected)
    assert not page.is_visible(".more button:first-child")
    assert not page.is_visible('th[data-key="z"]')
    page.check("text=z-test of the paper")
    assert page.is_visible('th[data-key="z"]')
    assert page.get_attribute('th[data-key="z"]', "scope") == "col"
    assert len(column(page, "z")) == len(expected)
    page.uncheck("text=z-test of the paper")
    assert not page.is_visible('th[data-key="z"]')


def saved_csv(page, button: str) -> pd.DataFrame:
    with page.expect_download() as download:
        page.click(button)
    assert download.value.suggested_filename == "heads.csv"
    return pd.read_csv(io.StringIO(Path(download.value.path()).read_text()))


def test_the_csv_file_is_the_table(opened, expected):
    table = saved_csv(opened.page, "text=Download all rows (CSV)")
    assert list(table.columns) == [name for name in expected if not expected[name].isna().all()]
    pd.testing.assert_frame_equal(table[EXACT], expected[EXACT], check_dtype=False, rtol=0, atol=0)
    rest = [name for name in table if name not in EXACT]
    assert len(rest) > 20
    pd.testing.assert_frame_equal(table[rest], expected[rest], rtol=6e-6, atol=0)
    counts = ~expected["property"].eq("scale")
    assert (table["count"] == expected["count"])[counts].all()
    # The chosen rows, in the order they are shown in.
    page = opened.page
    page.select_option("#heads-property-choose", label="contact")
    click_heading(page, "eligible")
    part = saved_csv(page, "text=Download these rows (CSV)")
    assert len(part) == 72 and part["eligible"].is_monotonic_decreasing


def test_names_with_commas_and_quotes_survive(browser, tmp_path):
    specs = [key_class(HOSTILE[0], *HOSTILE, 'a "b", c\nd', "=1+1"), value(HOSTILE[1])]
    result = drawn_result(specs, model={"name": HOSTILE[2]})
    with visit(browser, pf.report(result, tmp_path / "page.html")) as opened:
        page = opened.page
        dialogs = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.dismiss())
        page.wait_for_selector("[data-ready]")
        page.select_option("#heads-property-choose", label=HOSTILE[0])
        table = saved_csv(page, "text=Download all rows (CSV)")
        assert dialogs == [] and page.locator("main script, main iframe").count() == 0
    expected = result.infer()
    assert table["class"].tolist() == expected["class"].tolist()
    assert table["property"].tolist() == expected["property"].tolist()


def test_by_keyboard(opened, expected):
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.focus('th[data-key="eligible"] button')
    page.keyboard.press("Enter")
    assert page.get_attribute('th[data-key="eligible"]', "aria-sort") == "descending"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('th').dataset.key") == "proportion"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Space")
    assert page.get_attribute('th[data-key="proportion"]', "aria-sort") == "descending"
    # The next row has the focus where the button for more has gone.
    page.select_option("#heads-property-choose", label="contact")
    page.focus(".more button")
    page.keyboard.press("Enter")
    assert page.locator(ROWS).count() == 72
    assert page.evaluate("document.activeElement.closest('tr').rowIndex") == 51


def test_sections_link_to_the_table_and_open(opened):
    page = opened.page
    page.click("text=Structure: classes and figures")
    page.wait_for_selector("#property-2[open]")  # the browser tells of a new address in its time
    page.click("#property-2 >> text=Show its heads in the table")
    assert set(column(page, "property")) == {"structure"}


AUDIT = """() => {
  const problems = [];
  const all = (selector) => document.querySelectorAll(selector);
  const begin = (element) => element.outerHTML.slice(0, 80);
  for (const element of all("img, svg[role=img]"))
    if (!(element.alt || element.getAttribute("aria-label")))
      problems.push(`no text: ${begin(element)}`);
  for (const element of all("input, select"))
    if (!element.labels.length) problems.push(`no label: ${begin(element)}`);
  for (const element of all("button, a[href], summary"))
    if (element.checkVisibility() && !element.textContent.trim())
      problems.push(`no name: ${begin(element)}`);
  for (const element of all("[role=region], nav, section")) {
    const by = element.getAttribute("aria-labelledby");
    if (!element.getAttribute("aria-label") && !document.getElementById(by))
      problems.push(`no name: ${begin(element)}`);
  }
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) =>
    [r, g, b]
      .map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    throw new Error("no background");
  };
  const low = new Set();
  for (const element of all("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    if (!texts.some((node) => node.textContent.trim())) continue;
    if (!element.checkVisibility() || element.closest("svg, math")) continue;
    const front = light(parse(getComputedStyle(element).color));
    const back = light(behind(element));
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) low.add(`${element.tagName}.${element.className}: ${contrast}`);
  }
  return [...problems, ...low];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_contrast(browser, folder, scheme):
    with visit(browser, folder / "report.html") as opened:
        opened.page.emulate_media(color_scheme=scheme)
        opened.page.wait_for_selector("[data-ready]")
        for element in opened.page.query_selector_all("details"):
            element.evaluate("element => (element.open = true)")
        assert opened.page.evaluate(AUDIT) == []


def test_a_narrow_window_needs_no_sideways_scrolling(browser, folder):
    with visit(browser, folder / "report.html", 400, 800) as opened:
        opened.page.wait_for_selector("[data-ready]")
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 400


def test_figures_and_charts_are_drawn(opened):
    from PIL import Image

    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach(each => (each.open = true))")
    sizes = page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth)")
    assert sizes and all(size > 300 for size in sizes)
    assert page.locator("svg.chart").count() == 3
    for selector in ("svg.chart", "img", "math[display=block]"):
        picture = Image.open(io.BytesIO(page.locator(selector).first.screenshot()))
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_paper_has_every_section(opened):
    page = opened.page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    page.emulate_media(media="print")
    assert not page.is_visible(".controls") and not page.is_visible("nav")


def test_a_browser_without_decompression_says_so(browser, folder):
    with visit(browser, folder / "report.html") as opened:
        opened.page.add_init_script("delete window.DecompressionStream")
        opened.page.reload()
        opened.page.wait_for_function(
            "document.querySelector('.table-status').textContent.includes('cannot unpack')"
        )
        assert opened.page.locator(ROWS).count() == 50


def test_columns_are_packed_to_six_digits():
    rng = np.random.default_rng(0)
    wide = (rng.normal(size=1000) * 10.0 ** rng.integers(-30, 30, 1000)).astype(np.float32)
    wide[:4] = np.nan, np.inf, -np.inf, 0
    kept = embedding._rounded(wide)
    np.testing.assert_allclose(kept, wide, rtol=1e-6)
    columns = {"a": wide, "b": np.arange(1000, dtype=np.uint16)}
    assert embedding.pack_columns(columns) == embedding.pack_columns(columns)
