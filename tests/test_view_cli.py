"""``provis-fast view`` end to end, and the page that it writes."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re

import analysis_cases
import pytest
from structure_text import pdb_text
from view_cases import hairpin, hairpin_cif

import provis_fast as pf
from provis_fast.cli import main
from provis_fast.viewing import chains


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(analysis_cases.save_esm(tmp_path_factory.mktemp("esm")))


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "1abc.cif"
    path.write_text(hairpin_cif())
    return str(path)


def embedded(page: str) -> dict:
    """The payload of a page."""
    for packed in re.findall(r">\s*([A-Za-z0-9+/=]{100,})\s*<", page):
        content = gzip.decompress(base64.b64decode(packed))
        if b'"format":"provis_fast.view"' in content[:200]:
            return json.loads(content)
    raise AssertionError("no payload in the page")


def test_view(tmp_path, folder, structure, capsys):
    out = tmp_path / "new" / "v.html"
    command = ["view", structure, "--model", folder, "--layer", "2", "--head", "3"]
    assert main([*command, "-o", str(out), "--min-arcs", "1", "--directed"]) == 0
    printed = capsys.readouterr()
    assert "TEST, chain A" in printed.out and "opens with head 2-3" in printed.out
    assert f"File: {out}" in printed.out and re.search(r"^ *\d-\d +\d+\.\d%", printed.out, re.M)
    assert "note: binding sites are not known" in printed.err
    payload = embedded(out.read_text())
    assert (payload["layer"], payload["head"], payload["symmetric"]) == (2, 3, False)
    same = pf.view(structure, folder, layer=1, head=2, min_arcs=1, symmetric=False)
    assert json.loads(json.dumps(same.payload)) == payload
    page = out.read_bytes()
    assert main([*command, "-o", str(out), "--min-arcs", "1", "--directed"]) == 0
    assert out.read_bytes() == page  # an earlier view is replaced, by the same bytes


def test_options(tmp_path, folder, capsys):
    path = tmp_path / "two.pdb"
    path.write_text(pdb_text(hairpin("A"), hairpin("B", shift=30.0)))
    out = tmp_path / "v.html"
    assert main([
        "view", str(path), "--model", folder, "--chain", "B", "--threshold", "0.2", "--title",
        "My protein", "--contact-cutoff", "6.5", "--contact-separation", "4", "--contact-atom",
        "CB", "--threads", "1", "--dtype", "float64", "-o", str(out),
    ]) == 0  # fmt: skip
    payload = embedded(out.read_text())
    assert [chain["id"] for chain in payload["chains"]] == ["B"]
    assert payload["title"] == "My protein" and payload["threshold"] == 0.2
    assert payload["contact"] == {"cutoff": 6.5, "min_separation": 4, "atom": "CB"}
    assert "My protein" in capsys.readouterr().out


def test_the_default_file(tmp_path, folder, structure, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["view", structure, "--model", folder]
    assert main(command) == 0 and (tmp_path / "view.html").stat().st_size > 1_000_000
    (tmp_path / "view.html").write_text("somebody else's")
    capsys.readouterr()
    assert main(command) == 2
    assert "no page of this package" in capsys.readouterr().err
    assert (tmp_path / "view.html").read_text() == "somebody else's"
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "3"], "--layer 3: this model has 2 layers"),
        (["--head", "4"], "--head 4: this model has 3 heads in each layer"),
        (["--layer", "0"], "expected a whole number from 1 on, got '0'"),
        (["--threshold", "0"], "expected numbers above 0 and at most 1"),
        (["--threshold", "0.1,0.3"], "expected one number, got '0.1,0.3'"),
        (["--chain", "Q"], "A, got 'Q'"),
        (["--chain", ","], "expected names separated by commas"),
        (["-o", ""], "expected the name of a file"),
        (["-o", "."], "a folder stands there"),
        (["--contact-separation", "0"], "separation of at least 1"),
    ],
)
def test_bad_usage(folder, structure, options, message, capsys):
    assert main(["view", structure, "--model", folder, *options]) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_structure(tmp_path, folder, capsys):
    path = tmp_path / "x.fasta"
    path.write_text(">a\nMKV\n")
    assert main(["view", str(path), "--model", folder, "-o", str(tmp_path / "v.html")]) == 2
    assert "expected a structure with coordinates" in capsys.readouterr().err
    assert main(["view", str(tmp_path / "none.pdb"), "--model", folder]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "v.html").exists()


def test_an_unknown_model(tmp_path, structure, capsys):
    out = ["-o", str(tmp_path / "v.html")]
    assert main(["view", structure, "--model", str(tmp_path / "none"), *out]) == 2
    assert "none" in capsys.readouterr().err


def test_a_chain_that_cannot_be_shown(tmp_path, folder, capsys, monkeypatch):
    path = tmp_path / "two.pdb"
    long = " ".join(["ALA"] * 40)
    path.write_text(pdb_text(hairpin("A"), hairpin("B", codes=long, shift=30.0)))
    monkeypatch.setattr(chains, "MAX_RESIDUES", 30)
    command = ["view", str(path), "--model", folder, "-o", str(tmp_path / "v.html")]
    assert main(command) == 3
    assert "note: chain B: 40 residues are too many" in capsys.readouterr().err
    assert [c["id"] for c in embedded((tmp_path / "v.html").read_text())["chains"]] == ["A"]
    assert main([*command, "--chain", "A"]) == 0  # the other was not asked for


HOSTILE = "</script><script>alert(1)</script><!--\u2028'\"&"


def test_hostile_names(tmp_path, esm):
    """Whatever a file calls itself, the page holds it as text."""
    text = hairpin_cif().replace("_entry.id TEST", f'_entry.id "{HOSTILE.replace(chr(34), "")}"')
    path = tmp_path / "x.cif"
    path.write_text(text, encoding="utf-8")
    view = pf.view(path, esm, title=HOSTILE)
    page = view.html()
    assert "<script>alert" not in page and "alert(1)</script>" not in page
    payload = embedded(page)
    assert payload["title"] == HOSTILE
    assert payload["chains"][0]["name"].startswith("</script><script>alert(1)")
    assert "<script>" not in payload["structure"]["data"].split("_atom_site")[0]
    frame = view._repr_html_()
    assert frame.count("<script") == 0 and frame.startswith("<iframe ")
    (srcdoc,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert html.unescape(srcdoc) == page


def test_names_that_are_no_text(esm, structure):
    page = pf.view(structure, esm, title="caf\udce9").html()
    assert "caf\\udce9" in page
    page.encode("utf-8")
