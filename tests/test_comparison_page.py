"""The page of ``provis-fast report A B``: what it says, and how it behaves in a browser."""

from __future__ import annotations

import csv
import io
import json
import re

import browser as browsers
import numpy as np
import pytest
from html_pages import Page
from report_cases import CONTACT, HOSTILE, drawn_result, key_class, value

import provis_fast as pf
from provis_fast.cli import main
from provis_fast.errors import ResultError
from provis_fast.reporting.comparison import write_comparison

SPECS = (CONTACT, key_class("site"), key_class("fold", "helix", "strand", "other"), value("depth"))


def named(result, seed):
    """The same with proteins of its own."""
    digests = np.random.default_rng(seed).integers(0, 2**63, result.analysed)
    result.protein_digests = np.sort(digests.astype(np.uint64))
    return result


def two_corpora():
    """One model on two corpora that share no protein."""
    return [named(drawn_result(SPECS, n_proteins=60 + 20 * s, seed=s), s) for s in (0, 1)]


def two_models():
    a, _ = two_corpora()
    other = {"name": "other", "digest": "d2", "dtype": "float32", "family": "bert"}
    b = named(drawn_result(SPECS, 5, 3, n_proteins=70, seed=2, model=other), 2)
    return a, b


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved results: of two corpora, and of another model."""
    root = tmp_path_factory.mktemp("compared")
    for name, result in zip(("first", "second"), two_corpora(), strict=True):
        result.save(root / name)
    two_models()[1].save(root / "other")
    return root


@pytest.fixture(scope="module")
def pages(folders):
    """Pages made by the command line, by what they compare."""
    found = {}
    for name, other in (("corpora", "second"), ("models", "other")):
        out = folders / f"{name}.html"
        assert (
            main(["report", str(folders / "first"), str(folders / other), "--out", str(out)]) == 0
        )
        found[name] = out
    return found


def test_what_the_page_says_is_in_the_table(pages, folders):
    a, b = (pf.load_result(folders / name) for name in ("first", "second"))
    table = pf.compare(a, b)
    page = Page(pages["corpora"].read_text())
    text = " ".join(page.text.split())
    assert "first and second compared" in text
    assert "No protein is in both results, of 60 in A and 80 in B" in text
    rows = table[(table["property"] == "contact") & (table["log_q"] < np.log(0.05))]
    assert len(rows) > 1
    best = rows.loc[rows["difference"].abs().idxmax()]
    head = f"{best['layer'] + 1}-{best['head'] + 1}"
    change, low, high = (f"{100 * best[x]:+.1f}" for x in ("difference", "low", "high"))
    assert (
        f"of head {head}, {100 * best['proportion_a']:.1f}% of the arcs join residues in contact "
        f"in A, and {100 * best['proportion_b']:.1f}% in B ({change} points; 95% interval {low} to "
        f"{high} points; q = "
    ) in text
    tested = table[(table["property"] == "contact") & table["log_q"].notna()]
    more = (rows["difference"] > 0).sum()
    assert (
        f"Of {len(tested)} heads tested, {len(rows)} differ (q < 0.05): {more} with more in B, "
        f"{len(rows) - more} with less."
    ) in text
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert len(images) == 2 * len(SPECS)
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert all(len(image["alt"]) > 20 for image in images)


def test_models_are_summarised(pages, folders):
    a, b = (pf.load_result(folders / name) for name in ("first", "other"))
    table = pf.compare(a, b, "site").set_index("summary")
    text = " ".join(Page(pages["models"].read_text()).text.split())
    assert "3 layers × 4 heads and 5 layers × 3 heads: their heads do not correspond" in text
    best = table.loc["max_proportion"]
    for side in "ab":
        head = f"{best[f'layer_{side}'] + 1:.0f}-{best[f'head_{side}'] + 1:.0f}"
        assert f"head {head} of {side.upper()} has {100 * best[side]:.1f}%" in text
    above, heads = table.loc["heads_above"], table.loc["heads"]
    assert (
        f"Above the background (q < 0.05) are {above['a']:.0f} of {heads['a']:.0f} heads in A and "
        f"{above['b']:.0f} of {heads['b']:.0f} in B."
    ) in text
    centre = table.loc["centre_of_gravity"]
    assert f"lies at {centre['a']:.2f} of the depth in A and at {centre['b']:.2f} in B" in text
    assert "best in part by luck" in text


@pytest.mark.parametrize("name", ["corpora", "models"])
def test_the_page_is_whole(pages, name):
    page = pages[name].read_text()
    assert "Content-Security-Policy" in page and "default-src 'none'" in page
    for tag, attrs in Page(page).elements:
        for key in ("src", "href"):
            address = attrs.get(key, "#")
            assert address.startswith(("#", "data:")), (tag, address)
    identifiers = re.findall(r' id="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    for target in re.findall(r'href="#([^"]+)"', page):
        assert target in identifiers
    assert len(page) < 3e6


def test_same_results_same_bytes(folders, tmp_path):
    pages = []
    for name in ("one.html", "two.html"):
        pf.report(folders / "first", tmp_path / name, other=folders / "second")
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_hostile_names_stay_text(tmp_path, browser):
    specs = (
        key_class("site", *HOSTILE, "$x$", "price_$5"),
        value("depth"),
    )
    a, b = (
        named(drawn_result(specs, seed=s, model={"name": HOSTILE[s], "digest": f"d{s}"}), s)
        for s in (0, 1)
    )
    for number, matched in enumerate((True, False)):
        out = write_comparison(
            a, b, tmp_path / f"{number}.html", places=(HOSTILE[2], HOSTILE[3]), matched=matched
        )
        page = out.read_text()
        for name in HOSTILE[:2]:
            assert name not in page
        with browsers.visit(browser, out) as visit:
            visit.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            visit.page.wait_for_selector('[data-table="differences"][data-ready="yes"]')
            assert HOSTILE[0] in visit.page.inner_text("h1")
            assert visit.page.locator("main svg[onload], img[onerror]").count() == 0
            classes = visit.page.locator("#differences-class-choose option").all_inner_texts()
            assert HOSTILE[1] in classes


def _cells(page, column: int) -> list[str]:
    return page.locator(
        f'[data-table="differences"] tbody tr > :nth-child({column})'
    ).all_inner_texts()


def test_table_of_heads_in_a_browser(pages, folders, browser, tmp_path):
    a, b = (pf.load_result(folders / name) for name in ("first", "second"))
    table = pf.compare(a, b)
    with browsers.visit(browser, pages["corpora"]) as visit:
        page = visit.page
        page.wait_for_selector('[data-table="differences"][data-ready="yes"]')
        status = page.locator('[data-table="differences"] .table-status')
        assert f"of {len(table):,} rows, sorted by q, smallest first" in status.inner_text()
        first = table.sort_values("log_q", kind="stable").iloc[0]
        assert _cells(page, 1)[0] == f"{first['layer'] + 1}-{first['head'] + 1}"
        # By the keyboard: sort by the difference, the largest first.
        page.locator('th[data-key="difference"] button').focus()
        page.keyboard.press("Enter")
        shown = page.locator('th[data-key="difference"]')
        assert shown.get_attribute("aria-sort") == "descending"
        page.select_option("#differences-property-choose", label="contact")
        largest = table[table["property"] == "contact"]["difference"].max()
        got = _cells(page, 6)[0]
        assert float(got) == pytest.approx(100 * largest, abs=0.051)
        page.fill("#differences-log_q-maximum", "0.05")
        sure = (table["property"] == "contact") & (table["log_q"] <= np.log(0.05))
        assert len(_cells(page, 1)) == min(50, sure.sum())
        page.check('input[value="excess"]')
        assert page.locator('th[data-key="excess_interval"]').is_visible()
        # The button of a property shows its rows, whatever was chosen before.
        page.locator("#property-2 button[data-show-property]").dispatch_event("click")
        assert set(_cells(page, 2)) == {"site"}
        with page.expect_download() as download:
            page.click('button[data-download="differences"]')
        download.value.save_as(tmp_path / "all.csv")
        for image in page.locator("main img").all():
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert len(rows) == len(table)
    for row, expected in zip(rows, table.to_dict("records"), strict=True):
        assert int(row["layer"]) == expected["layer"] + 1 and row["class"] == expected["class"]
        for column in ("difference", "low", "log_q", "excess_difference"):
            got = float(row[column] or "nan")
            assert got == pytest.approx(expected[column], rel=6e-6, nan_ok=True)


def test_table_of_models_in_a_browser(pages, browser):
    with browsers.visit(browser, pages["models"]) as visit:
        page = visit.page
        page.wait_for_selector('[data-table="differences"][data-ready="yes"]')
        page.select_option("#differences-summary-choose", label="centre of gravity (depth)")
        assert set(_cells(page, 3)) == {"centre of gravity (depth)"}
        for text in _cells(page, 4):
            assert text == "" or 0 <= float(text) <= 1
        page.select_option("#differences-summary-choose", label="largest share")
        assert all(re.fullmatch(r"\d+-\d+", text) for text in _cells(page, 6))
        page.emulate_media(color_scheme="dark")
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        )


def test_first_rows_are_there_without_the_script(pages, browser):
    for name in ("corpora", "models"):
        page = pages[name].read_text()
        context = browser.new_context(java_script_enabled=False, offline=True)
        static = context.new_page()
        static.goto(pages[name].as_uri())
        without = static.locator('[data-table="differences"] tbody tr').all_inner_texts()
        context.close()
        with browsers.visit(browser, pages[name]) as visit:
            visit.page.wait_for_selector('[data-table="differences"][data-ready="yes"]')
            rows = visit.page.locator('[data-table="differences"] tbody tr').all_inner_texts()
        assert without == rows and len(rows) == 50, name
        data = re.search(r'id="data-differences">(.*?)</script>', page, re.DOTALL)[1]
        assert json.loads(data)["id"] == "differences"


def test_tables_of_single_proteins_are_used_where_both_have_them(tmp_path, esm):
    import comparison_cases

    results = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        proteins = comparison_cases.proteins(seed=number, first=5 * number)
        comparison_cases.analysed(esm, proteins, folder)
        results.append(folder / "result")
    out = pf.report(results[0], tmp_path / "page.html", other=results[1])
    text = Page(out.read_text()).text
    assert "Differences are tested protein by protein" in text
    ids = pf.read_per_protein(results[0], "proteins")["protein"].to_pylist()
    clusters = tmp_path / "clusters.tsv"
    others = pf.read_per_protein(results[1], "proteins")["protein"].to_pylist()
    clusters.write_text("".join(f"c\t{name}\n" for name in sorted({*ids[:3], *others[:2]})))
    pf.report(results[0], out, other=results[1], clusters=clusters)
    assert "in 11 clusters, by clusters.tsv" in Page(out.read_text()).text


def test_incomplete_results_are_told_and_refused(tmp_path):
    a, b = two_corpora()
    b.complete = False
    with pytest.raises(ResultError, match=r"b: this result is incomplete"):
        write_comparison(a, b, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    write_comparison(a, b, tmp_path / "page.html", allow_partial=True)
    assert "PARTIAL RESULT. B is incomplete" in (tmp_path / "page.html").read_text()


def test_what_cannot_be_compared_is_told_on_the_command_line(folders, tmp_path, capsys):
    specs = (key_class("colour"),)
    drawn_result(specs).save(tmp_path / "colour")
    out = tmp_path / "page.html"
    assert (
        main(["report", str(folders / "first"), str(tmp_path / "colour"), "--out", str(out)]) == 2
    )
    assert "no property in common" in capsys.readouterr().err and not out.exists()


def test_models_of_one_shape_can_be_kept_apart(folders, tmp_path):
    """Two models that were trained independently: heads of one number have nothing in common."""
    arguments = ["report", str(folders / "first"), str(folders / "second"), "--unmatched"]
    assert main([*arguments, "--out", str(tmp_path / "page.html")]) == 0
    text = Page((tmp_path / "page.html").read_text()).text
    assert "Heads are not matched, as was asked for." in text and "centre of gravity" in text


def test_several_thresholds_and_attention(tmp_path, browser):
    """Findings are of the paper's threshold; the table has all, and tells them apart."""
    changes = {"thresholds": (0.1, 0.3), "scalar_threshold": False, "weighting": "both"}
    a, b = (named(drawn_result(SPECS, seed=s, **changes), s) for s in (0, 1))
    out = write_comparison(a, b, tmp_path / "page.html")
    table = pf.compare(a, b)
    assert len(table) == 3 * 12 * 6
    with browsers.visit(browser, out) as visit:
        page = visit.page
        page.wait_for_selector('[data-table="differences"][data-ready="yes"]')
        assert "attention of at least 0.3" in page.inner_text(".lead")
        page.select_option("#differences-statistic-choose", label="mass")
        status = page.locator('[data-table="differences"] .table-status').inner_text()
        assert "of 72 rows (of 216)" in status
        page.select_option("#differences-threshold-choose", index=0)
    one = pf.compare(a, b, "contact", threshold=0.3)
    largest = one.loc[one[one["log_q"] < np.log(0.05)]["difference"].abs().idxmax()]
    text = " ".join(Page(out.read_text()).text.split())
    assert f"of head {largest['layer'] + 1}-{largest['head'] + 1}, " in text


def test_layers_in_another_order_are_the_same_layers():
    """Rows of maps and profiles stand where their labels say."""
    from provis_fast.inference.comparison_ground import Part
    from provis_fast.reporting.comparison_figures import difference_maps
    from provis_fast.reporting.comparison_profiles import model_heads

    a, b = (
        named(drawn_result((CONTACT,), 4, seed=s, layers=layers), s)
        for s, layers in ((0, (3, 0, 2)), (1, (0, 1, 2, 3)))
    )
    table = pf.compare(a, b)
    assert table["layer"].unique().tolist() == [3, 0, 2]
    shown = difference_maps(CONTACT, table).axes[0].images[0].get_array()
    for row, layer in enumerate((0, 2, 3)):
        expected = 100 * table[table["layer"] == layer]["difference"]
        assert np.allclose(shown[row], expected)
    heads = model_heads(a, CONTACT, Part("arcs", 0.3, None, None), 100, "A")
    assert heads.layers == (0, 2, 3)
    assert np.array_equal(heads.proportion[2], a.proportion["contact"][0])


def test_heads_with_too_few_arcs_leave_a_page(tmp_path):
    """No figure, no finding, and still a page that says so."""
    a, b = (named(drawn_result((CONTACT,), seed=s, min_arcs=10**9), s) for s in (0, 1))
    for matched in (True, False):
        out = write_comparison(a, b, tmp_path / "page.html", matched=matched)
        assert "has enough eligible arcs" in out.read_text()
