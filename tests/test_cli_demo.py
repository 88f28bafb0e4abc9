"""``provis-fast demo``: from bundled structures to a report and a view."""

from __future__ import annotations

import re
from importlib import metadata

import analysis_cases
import pytest
from test_view_cli import embedded

from provis_fast import proteins, storage
from provis_fast.cli import demo, main
from provis_fast.errors import ArgumentError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(analysis_cases.save_esm(tmp_path_factory.mktemp("esm")))


@pytest.fixture
def few(monkeypatch):
    """Three of the bundled chains."""

    def chosen(name):
        return proteins.load_proteins(proteins.demo_set(name).files[:3])

    monkeypatch.setattr("provis_fast.proteins.bundled.demo_set", chosen)


@pytest.fixture
def without_viewer(monkeypatch):
    distribution = metadata.distribution

    def missing(name):
        if name == "ipymolstar":
            raise metadata.PackageNotFoundError(name)
        return distribution(name)

    monkeypatch.setattr(metadata, "distribution", missing)


def test_the_demonstration(tmp_path, monkeypatch, capsys):
    pytest.importorskip("antiberty")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # its own folder is replaced
        assert main(["demo"]) == 0
    out = tmp_path / "provis_fast_demo"
    assert {"report.html", "view.html", *storage.FILES} == {entry.name for entry in out.iterdir()}
    result = storage.load(out)
    assert (result.analysed, result.model["name"]) == (9, "antiberty")

    printed = capsys.readouterr().out
    assert f"Report: {out / 'report.html'} (" in printed
    assert f"View: {out / 'view.html'} (7CFN, chain N: " in printed
    assert "provis-fast analyze antiberty FILE_OR_FOLDER..." in printed
    payload = embedded((out / "view.html").read_text())
    best = payload["heads"][0]
    assert (payload["layer"], payload["head"]) == (best["layer"], best["head"])
    assert f"opens with head {best['layer']}-{best['head']})" in printed
    assert best["proportion"] > best["background"] > 0
    assert 'href="view.html"' in (out / "report.html").read_text()


def test_another_model(folder, few, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["demo", "--model", folder, "--out", str(out)]
    assert main([*command, "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Bundled structures (general)" in printed
    (found,) = re.findall(
        r"^View: (.*) \(4CUP, chain A: [\d,]+ arcs of at least 0.1;", printed, re.M
    )
    (chain,) = embedded((out / "view.html").read_text())["chains"]
    (sites,) = (track for track in chain["tracks"] if track["name"] == "binding_site")
    assert found == str(out / "view.html") and sites["classes"] == ["binding_site"]
    assert main(command) == 2
    assert "holds an earlier result" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_without_the_viewer(folder, few, tmp_path, capsys, without_viewer):
    out = tmp_path / "out"
    command = ["demo", "--model", folder, "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "no view: views need the package ipymolstar" in printed.err
    assert "pip install 'provis_fast[view]'" in printed.err
    structure = proteins.demo_structure("general")
    assert f"provis-fast view {structure} --model {folder} -o {out / 'view.html'}" in printed.out
    assert not (out / "view.html").exists()
    assert 'href="view.html"' not in (out / "report.html").read_text()


def test_no_view_is_left_from_before(folder, few, tmp_path, capsys, request):
    out = tmp_path / "out"
    command = ["demo", "--model", folder, "--out", str(out), "--overwrite"]
    assert main(command) == 0 and (out / "view.html").exists()
    request.getfixturevalue("without_viewer")
    assert main(command) == 0 and not (out / "view.html").exists()


def test_an_interrupted_demonstration_has_no_pages(folder, few, tmp_path, capsys, monkeypatch):
    analyse = demo.analyse

    def interrupted(*arguments, **options):
        result, _ = analyse(*arguments, **options)
        result.complete = False
        return result, True

    monkeypatch.setattr(demo, "analyse", interrupted)
    out = tmp_path / "out"
    assert main(["demo", "--model", folder, "--out", str(out)]) == 130
    printed = capsys.readouterr()
    assert "interrupted after 3 proteins" in printed.err
    assert "Report" not in printed.out and "Next" not in printed.out
    assert not list(tmp_path.rglob("*.html"))


def test_structures_to_look_at():
    for name in proteins.DEMO_SETS:
        path = proteins.demo_structure(name)
        assert path in proteins.demo_set(name).files
        assert len(list(proteins.load_proteins(path))) == 1
    with pytest.raises(ArgumentError, match="immunoglobulin, general"):
        proteins.demo_structure("enzymes")
