"""A view in a notebook: its frame in a real browser, with the network off."""

from __future__ import annotations

import pytest
from browser import visit
from structure_text import cif_text
from view_cases import HAIRPIN, hairpin, ligand

import provis_fast as pf


@pytest.fixture(scope="module")
def view(tmp_path_factory, esm):
    path = tmp_path_factory.mktemp("structure") / "x.cif"
    path.write_text(cif_text([*hairpin(), ligand("A", 3, 101)], HAIRPIN))
    return pf.view(path, esm, min_arcs=1, title="</iframe><b>hairpin")


def test_the_frame_shows_the_view(tmp_path, view, browser):
    notebook = tmp_path / "notebook.html"
    notebook.write_text(
        f"<!doctype html><meta charset='utf-8'><title>a notebook</title>{view._repr_html_()}",
        encoding="utf-8",
    )
    with visit(browser, notebook) as opened:
        (frame,) = opened.page.main_frame.child_frames
        frame.wait_for_selector("body[data-ready]", timeout=180_000)
        assert frame.evaluate("document.body.dataset.ready") == "true"
        assert "</iframe><b>hairpin" in frame.inner_text("h1")
        assert frame.locator("#scene canvas").count() == 1
        assert frame.evaluate("self.origin") == "null"  # it can touch nothing of the notebook
