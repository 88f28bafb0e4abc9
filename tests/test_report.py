"""Reports: what is written where, what is refused, and that names from data stay text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from html_pages import Page
from report_cases import CONTACT, HOSTILE, drawn_result, key_class, value

import provis_fast as pf
from provis_fast import storage
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.record_log import NOTED, Remark
from provis_fast.reporting import citation, content, pictures
from provis_fast.reporting.embedding import script_json
from provis_fast.written_pages import MARK

SPECS = (
    CONTACT,
    key_class("secondary_structure", "helix", "strand", "turn", "other"),
    value("plddt"),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("result") / "out"
    drawn_result(SPECS).save(folder)
    return folder


def test_a_report_stands_in_the_folder_of_its_result(saved):
    path = pf.report(saved)
    assert path == saved / "report.html"
    page = Page(path.read_text())
    for text in ("drawn", "60 proteins", "protein-level t-test", "drawn.fasta", "BERTology"):
        assert text in page.text
    assert "PARTIAL" not in page.text
    assert ("html", {"lang": "en"}) in page.elements
    # Nothing to be loaded from anywhere, and the browser is told to refuse it.
    policy = next(m["content"] for m in page.named("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert re.match(r"#|data:", attributes.get(name) or "#"), (tag, attributes)


@pytest.fixture
def no_figures(monkeypatch):
    """For tests of what stands where: figures take most of the time."""
    monkeypatch.setattr(content, "draw_all", lambda *of: ((), {}, 0))


@pytest.fixture(scope="module")
def page(saved) -> Page:
    return Page(pf.report(saved).read_text())


def test_the_same_result_gives_the_same_bytes(saved, tmp_path):
    first, second = (pf.report(saved, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    pf.report(storage.load(saved), tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == first


def test_without_scripts_text_figures_and_first_rows_are_there(saved, page):
    figures = page.named("img")
    assert len(figures) >= 4
    assert all(figure["src"].startswith("data:image/png;base64,") for figure in figures)
    assert all(figure["alt"].startswith("Figure: ") for figure in figures)
    row = storage.load(saved).top_heads("contact").iloc[0]
    assert f"{row['layer'] + 1}-{row['head'] + 1}" in page.text
    assert len(page.named("math")) > 10


def test_headings_are_in_order_and_landmarks_are_there(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.named("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in page.named("a") if a["href"].startswith("#")]
    assert set(links) <= set(ids)


def test_names_from_data_stay_text(tmp_path):
    specs = [
        key_class(HOSTILE[0], *HOSTILE),
        key_class(HOSTILE[1]),
        value(HOSTILE[2]),
    ]
    result = drawn_result(specs, model={"name": HOSTILE[0], HOSTILE[1]: HOSTILE[3]})
    for number, text in enumerate(HOSTILE):
        result.note(text)
        result.remarks.add(Remark(100 + number, text, "failed", text, text, 3))
        result.remarks.add(Remark(200 + number, text, NOTED, text, text, None))
        result.inputs.append({"path": text, "sha256": text, "bytes": 3})
    result.settings = {HOSTILE[0]: HOSTILE}
    result.run = [{"command": list(HOSTILE), "started": HOSTILE[0], "seconds": 1.0, "threads": 1}]
    result.options = {HOSTILE[0]: HOSTILE[1]}
    text = pf.report(result, tmp_path / "page.html").read_text()
    plain = pf.report(drawn_result(SPECS), tmp_path / "plain.html").read_text()
    page = Page(text)
    # No element, and no attribute that handles events, but those of any report.
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(plain).elements}
    assert not any(name.startswith("on") for _, each in page.elements for name in each)
    assert text.count("<script") == plain.count("<script")
    assert "7 * 7" in page.text and HOSTILE[0] in page.text


def test_json_in_a_script_cannot_end_it():
    made = script_json({"</script>": ["<!--", "\u2028", "&"]})
    assert not set("<>&\u2028") & set(made)


def test_titles_of_models_and_files_that_are_no_text(tmp_path, no_figures):
    result = drawn_result([CONTACT], model={"name": "/models/esm\udc80"})
    assert "esm" in pf.report(result, tmp_path / "page.html").read_bytes().decode()


def test_partial_results_need_to_be_allowed_and_say_so(tmp_path, no_figures):
    result = drawn_result(SPECS)
    result.complete = False
    result.save(tmp_path / "out.partial")
    with pytest.raises(ResultError, match="--allow-partial"):
        pf.report(tmp_path / "out.partial")
    with pytest.raises(ResultError, match="allow_partial"):
        pf.report(result, tmp_path / "page.html")
    page = Page(pf.report(tmp_path / "out.partial", allow_partial=True).read_text())
    assert "PARTIAL RESULT" in page.text
    assert {"class": "banner", "role": "region", "aria-label": "Warning"} in page.named("div")


def test_there_must_be_a_result_with_proteins(tmp_path):
    with pytest.raises(ResultError, match="manifest"):
        pf.report(tmp_path / "nothing")
    assert os.listdir(tmp_path) == []
    empty = drawn_result(SPECS, n_proteins=1)
    empty.analysed = 0
    empty.remarks.add(Remark(0, "x", "failed", "bad", "a.fasta", 1))
    with pytest.raises(ResultError, match=r"no protein.*1 failed"):
        pf.report(empty, tmp_path / "page.html")
    drawn_result(SPECS).save(tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(
        re.sub(r'"format_version": \d+', '"format_version": 99', manifest.read_text())
    )
    with pytest.raises(ResultError, match="99"):
        pf.report(tmp_path / "out")


def test_a_file_that_is_no_report_is_left_alone(saved, tmp_path, no_figures):
    (tmp_path / "thesis.html").write_text("<html>mine")
    with pytest.raises(ResultError, match=r"no page of this package.*--overwrite"):
        pf.report(saved, tmp_path / "thesis.html")
    assert (tmp_path / "thesis.html").read_text() == "<html>mine"
    pf.report(saved, tmp_path / "thesis.html", overwrite=True)
    pf.report(saved, tmp_path / "thesis.html")  # an earlier report is replaced
    with pytest.raises(ResultError, match="folder stands there"):
        pf.report(saved, tmp_path)
    with pytest.raises(ResultError, match="cannot be written"):
        pf.report(saved, tmp_path / "thesis.html" / "page.html")
    assert sorted(os.listdir(tmp_path)) == ["thesis.html"]


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5])
def test_confidence_is_a_probability(saved, confidence):
    with pytest.raises(ArgumentError, match="confidence"):
        pf.report(saved, confidence=confidence)


def test_a_result_in_memory_needs_a_place(tmp_path):
    with pytest.raises(ArgumentError, match="out: expected the name of a file"):
        pf.report(drawn_result(SPECS))
    with pytest.raises(ArgumentError, match="out"):
        pf.report(drawn_result(SPECS), "")


def test_a_replaced_result_does_not_keep_its_report(tmp_path, no_figures):
    result = drawn_result(SPECS)
    folder = tmp_path / "out"
    result.save(folder)
    pf.report(folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "contact.png").write_bytes(b"png")
    result.save(folder)
    assert sorted(os.listdir(folder)) == sorted(storage.FILES)
    for name in ("report.html", "view.html"):
        (folder / name).write_text("<html>mine")
        with pytest.raises(ResultError, match=name):
            result.save(folder)
        (folder / name).unlink()
    (folder / "figures").mkdir()
    (folder / "figures" / "notes.docx").write_text("mine")
    with pytest.raises(ResultError, match=r"figures/notes\.docx"):
        result.save(folder)
    assert storage.load(folder).equals(result)


def test_views_are_linked_to_relative_to_the_report(saved, tmp_path, no_figures):
    (tmp_path / "views").mkdir()
    view = tmp_path / "views" / "a #1 %.html"
    view.write_text("<html><title>7CFN &amp; <b></title>")
    (tmp_path / "view.html").write_bytes(b"<html>" + MARK + b'view">')
    page = Page(pf.report(saved, tmp_path / "page.html", views=[view]).read_text())
    links = [a["href"] for a in page.named("a") if not a["href"].startswith("#")]
    assert links == ["views/a%20%231%20%25.html", "view.html"]
    assert "7CFN & <b>" in page.text
    with pytest.raises(ResultError, match=r"views: .*none\.html cannot be read"):
        pf.report(saved, tmp_path / "page.html", views=[tmp_path / "none.html"])


def test_the_command_of_a_view_names_the_best_head_of_contacts(saved, page):
    command = next(line for line in page.text.splitlines() if line.startswith("provis-fast view"))
    table = storage.load(saved).infer("contact")
    table = table[(table["log_q"] < -3) & (table["excess"] > 0)]
    best = table.sort_values("enrichment").iloc[-1]
    assert f"--layer {best['layer'] + 1} --head {best['head'] + 1} --threshold 0.3" in command


def test_records_left_out_are_listed_up_to_a_thousand(tmp_path, no_figures):
    result = drawn_result([CONTACT])
    for number in range(1200):
        status = "failed" if number >= 1100 else "skipped"
        result.remarks.add(Remark(number, f"protein {number}", status, "why not", "a.fasta", 7))
    text = pf.report(result, tmp_path / "page.html").read_text()
    page = Page(text)
    assert "100 failed, 1,100 skipped" in page.text and "... and 200 more" in page.text
    # Those that failed are all there, though they come last.
    assert "protein 1199" in page.text and "protein 899" in page.text
    assert "protein 900" not in page.text and page.text.count("why not") == 1000


@pytest.mark.parametrize(
    ("specs", "changes"),
    [
        ((), {}),
        (SPECS, {"weighting": "attention"}),
        (SPECS, {"weighting": "both", "thresholds": (0.1, 0.3), "scalar_threshold": False}),
        (SPECS, {"min_arcs": 10**6}),
        (SPECS, {"compat": "provis"}),
        (SPECS, {"layers": (2, 0)}),
    ],
    ids=["no property", "attention", "several thresholds", "too few arcs", "provis", "layers"],
)
def test_results_of_every_kind_have_a_report(tmp_path, specs, changes):
    result = drawn_result(specs, **changes)
    page = Page(pf.report(result, tmp_path / "page.html").read_text())
    if "min_arcs" in changes:
        assert "No head has the 1,000,000 eligible arcs" in page.text
    if changes.get("weighting") == "attention":
        assert "of its attention" in page.text and "t-test" not in page.text
    if not specs:
        assert "this result counts arcs alone" in page.text


def test_citation_is_that_of_the_repository():
    path = Path(__file__).resolve().parents[1] / "CITATION.cff"
    cff = path.read_text()
    for name in re.findall(r"family-names: (\w+)", cff):
        assert name in citation.CITATIONS[0] and name in citation.BIBTEX
    for pattern in (r'title: "(.*)"', r"year: (\d+)", r"url: (\S+)"):
        assert re.search(pattern, cff)[1] in citation.CITATIONS[0]
    assert re.search(r"^version: (\S+)", cff, re.MULTILINE)[1] in citation.CITATIONS[1]


def test_command_line(saved, tmp_path, capsys):
    assert main(["report", str(saved), "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out
    assert (tmp_path / "new" / "page.html").stat().st_size > 10_000
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "manifest" in capsys.readouterr().err
    assert main(["report", str(saved), "--confidence", "95"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err


def test_report_is_a_function_whatever_is_imported_first():
    first = "import provis_fast as pf, provis_fast.reporting, provis_fast.cli.report\n"
    elsewhere = Path(__file__).parent  # not beside the sources, which need not be what is tested
    command = [sys.executable, "-c", f"{first}pf.report.__call__"]
    subprocess.run(command, check=True, cwd=elsewhere)
    code = "import sys, provis_fast.reporting\n"
    code += "print({'matplotlib', 'jinja2', 'torch'} & {*sys.modules})"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=True, cwd=elsewhere, capture_output=True, text=True)
    assert found.stdout == "set()\n"


def test_arguments_that_a_report_of_this_kind_has_no_use_for(saved, tmp_path):
    out = tmp_path / "page.html"
    for options, message in (
        ({"views": "view.html"}, "views: expected a list"),
        ({"other": saved, "views": ["view.html"]}, "views: a comparison links to no views"),
        ({"other": saved, "per_protein": saved}, "per_protein: a comparison reads"),
        ({"matched": True}, "matched: is about the heads of two results"),
    ):
        with pytest.raises(ArgumentError, match=message):
            pf.report(saved, out, **options)
    assert not out.exists()


def test_figures_that_are_not_in_the_page_are_counted(saved, tmp_path, monkeypatch):
    whole = Page(pf.report(saved, tmp_path / "whole.html").read_text())
    assert "figures more" not in whole.text
    monkeypatch.setattr(pictures, "MAX_FIGURES", 1)
    fewer = Page(pf.report(saved, tmp_path / "fewer.html").read_text())
    assert "figures more of these properties" in fewer.text
    assert "provis-fast figures DIR --out FOLDER" in fewer.text
    assert len(fewer.named("img")) < len(whole.named("img"))
