"""Pages of views where something is missing, hostile, large, or inside another page."""

from __future__ import annotations

import html
from importlib import metadata

import browser as browsers
import pytest
import view_payloads as payloads

pytest.importorskip("ipymolstar")

from provis_fast.errors import ArgumentError
from provis_fast.viewing import page as view_page

PATIENCE = 180_000
_NO_WEBGL = """
const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : context.call(this, kind, ...rest);
};
"""


def _open(browser, path, script: str, text: str):
    """A page in which `script` ran first."""
    path.write_text(text, encoding="utf-8")
    context = browser.new_context(offline=True)
    context.add_init_script(script)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(path.as_uri())
    return page


@pytest.fixture(scope="module")
def text() -> str:
    return view_page.render(payloads.view_payload((40,), 2, 2))


def test_without_webgl_the_rest_of_the_page_works(browser, tmp_path, text):
    page = _open(browser, tmp_path / "view.html", _NO_WEBGL, text)
    page.wait_for_selector("body[data-ready=failed]")
    assert "WebGL is missing or switched off" in page.inner_text("#loading")
    page.select_option("#head", "1")
    assert "drawn" in page.inner_text("#count")
    page.click("#save-png")
    assert page.inner_text("#export-message") == "Not saved: there is no picture yet"
    page.context.close()


def test_without_decompression_the_page_says_so(browser, tmp_path, text):
    page = _open(browser, tmp_path / "view.html", "delete window.DecompressionStream", text)
    page.wait_for_selector("body[data-ready=failed]")
    assert "DecompressionStream is missing" in page.inner_text("#loading")
    page.context.close()


def test_names_of_a_file_are_never_markup(browser, tmp_path):
    hostile = "</script><img src=x onerror='window.hurt = 1'>"
    payload = payloads.view_payload((40,), 2, 2, title=hostile)
    payload["model"]["name"] = hostile
    payload["notes"] = [hostile]
    payload["structure"]["note"] = hostile
    payload["chains"][0]["id"] = hostile
    payload["chains"][0]["name"] = hostile
    payload["chains"][0]["numbers"] = [hostile] * 40
    page = _open(browser, tmp_path / "view.html", _NO_WEBGL, view_page.render(payload))
    page.wait_for_selector("body[data-ready=failed]")
    page.click("#shown summary")
    page.wait_for_timeout(300)
    assert page.title() == hostile
    assert page.inner_text("#title") == hostile
    assert page.locator("img").count() == 0
    assert page.evaluate("() => window.hurt") is None
    page.context.close()


def test_text_of_arcs_is_escaped_for_molstar():
    # Mol* shows the text of a tube as HTML; the page's own script does so nowhere.
    parts = {name: view_page._own(name) for name in view_page.SCRIPTS}
    assert "tooltip: escapeHtml(arcText(" in parts["mvs.js"]
    for name, code in parts.items():
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert way not in code, name


def test_page_asks_for_nothing_and_allows_its_own_script_only(text):
    assert "http://" not in text.replace("http://www.w3.org/", "")
    policy = text[text.index("Content-Security-Policy") :][:600]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy[: policy.index("style-src")]


def test_without_ipymolstar_the_way_to_get_it_is_told(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    view_page._molstar.cache_clear()
    monkeypatch.setattr(view_page.metadata, "distribution", missing)
    with pytest.raises(ArgumentError, match=r"pip install 'provis_fast\[view\]'"):
        view_page._molstar()


@pytest.mark.slow
def test_view_works_inside_another_page(browser, tmp_path, text):
    path = tmp_path / "outer.html"
    frame = f'<iframe style="width: 900px; height: 700px" srcdoc="{html.escape(text)}"></iframe>'
    path.write_text(f"<!DOCTYPE html><title>Outer</title>{frame}", encoding="utf-8")
    with browsers.visit(browser, path) as visited:
        inner = visited.page.frame_locator("iframe")
        inner.locator("body[data-ready=true]").wait_for(timeout=PATIENCE)
        assert inner.locator("#loading").inner_text() == ""


@pytest.mark.slow
def test_another_molstar_still_draws_and_says_what_it_cannot_do(browser, tmp_path, monkeypatch):
    own = view_page._own
    monkeypatch.setattr(
        view_page, "_own", lambda name: own(name).replace("?.globalContext", "?.elsewhere")
    )
    path = tmp_path / "view.html"
    path.write_text(view_page.render(payloads.view_payload((40,), 2, 2)), encoding="utf-8")
    with browsers.visit(browser, path) as visited:
        page = visited.page
        page.set_default_timeout(PATIENCE)
        page.wait_for_selector("body[data-ready=true]")
        assert "does not tell what the pointer is on" in page.inner_text("#loading")
        before = page.locator("#scene").screenshot()
        page.select_option("#head", "1")
        page.wait_for_timeout(5000)
        assert page.locator("#scene").screenshot() != before
        page.click("#save-png")
        assert "the viewer gives no picture" in page.inner_text("#export-message")


@pytest.mark.slow
def test_two_thousand_residues(browser, tmp_path):
    payload = payloads.view_payload((1000, 1000), 6, 20, 2000)
    path = tmp_path / "view.html"
    path.write_text(view_page.render(payload), encoding="utf-8")
    assert path.stat().st_size < 12e6
    with browsers.visit(browser, path) as visited:
        visited.page.set_default_timeout(PATIENCE)
        visited.page.wait_for_selector("body[data-ready=true]")
        assert visited.page.inner_text("#count").startswith("300 of ")
