"""What `view` refuses, and what it says then."""

from __future__ import annotations

import gzip
import re
from importlib import metadata

import analysis_cases
import pytest
from structure_text import Atom, pdb_text
from view_cases import hairpin, hairpin_cif

import provis_fast as pf
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.viewing import chains, making


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "1abc.cif"
    path.write_text(hairpin_cif())
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 2}, r"layer: expected a number from 0 to 1 \(.* has 2 layers\), got 2"),
        ({"layer": -1}, "layer: expected a number from 0 to 1"),
        ({"layer": 1.5}, "layer: expected a number from 0 to 1"),
        ({"head": 3}, r"head: .*0 to 2 \(.* has 3 heads in each layer\), got 3"),
        ({"threshold": 0.0}, "threshold: expected a number greater than 0 and at most 1, got 0.0"),
        ({"threshold": 1.5}, "threshold: .* got 1.5"),
        ({"threshold": "high"}, "threshold: .* got 'high'"),
        ({"threshold": (0.1, 0.3)}, r"threshold: expected one number in \(0, 1\]"),
        ({"chain": "Z"}, "chain: expected some of the amino-acid chains of 1abc.cif, A, got 'Z'"),
        ({"chain": []}, "chain: expected names of chains"),
        ({"chain": [1]}, "chain: expected names of chains"),
        ({"chain": 1}, "chain: expected names of chains"),
        ({"contact": "near"}, "contact: expected a Contact with a separation of at least 1"),
        ({"contact": pf.Contact(separation=0)}, "separation of at least 1"),
        ({"min_arcs": -1}, "min_arcs: expected an integer of at least 0"),
        ({"threads": 0}, "threads: expected an integer from 1"),
        ({"title": 7}, "title: expected text, got 7"),
    ],
)
def test_arguments(structure, esm, options, message):
    with pytest.raises(ArgumentError, match=message):
        pf.view(structure, esm, **options)


def nucleic() -> str:
    return "\n".join(
        Atom("P", base, "A", i, (6.0 * i, 0.0, 0.0), element="P").pdb(i)
        for i, base in enumerate(["DA", "DC", "DG", "DT", "DA"], 1)
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.fasta", b">a\nMKV\n", "expected a structure .* got a file of format fasta"),
        ("x.cif", b">a\nMKV\n", "cannot be parsed|not mmCIF"),
        ("x.pdb", b">a\nMKV\n", "no atoms"),
        ("x.pdb", b"", "the file is empty"),
        ("x.txt", b"hello", "unknown kind of file"),
        ("x.pdb", nucleic().encode() + b"\nEND\n", "no amino-acid chain .*nucleic acids"),
        (
            "x.pdb",
            pdb_text([atom for atom in hairpin() if atom.name != "CA"]).encode(),
            r"no chain can be shown \(of A\): chain A: no C-alpha atoms",
        ),
        ("x.cif.gz", gzip.compress(hairpin_cif().encode())[:-40], "damaged or cut-off gzip"),
        ("x.bcif", b"\x81\xa1a\x01", "not BinaryCIF"),
    ],
)
def test_files(tmp_path, esm, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        pf.view(path, esm)
    assert str(path) in str(caught.value)


def test_places(tmp_path, esm):
    with pytest.raises(InputError, match="no such file"):
        pf.view(tmp_path / "none.pdb", esm)
    with pytest.raises(InputError, match="is a folder"):
        pf.view(tmp_path, esm)
    for path in (None, 7, ""):
        with pytest.raises(ArgumentError, match="structure: expected the path"):
            pf.view(path, esm)


def test_structures_are_read_before_the_model(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        pf.view(tmp_path / "none.pdb", "no such model")


def test_a_chain_that_the_model_has_no_positions_for(tmp_path, bert):
    path = tmp_path / "long.pdb"
    path.write_text(pdb_text(hairpin(codes=" ".join(["ALA"] * 200))))
    with pytest.raises(InputError, match=r"chain A has no arcs: 200 residues, but .* for 128"):
        pf.view(path, bert)


def test_a_chain_that_the_page_has_no_positions_for(structure, esm, monkeypatch):
    monkeypatch.setattr(chains, "MAX_RESIDUES", 20)
    with pytest.raises(InputError, match="chain A: 24 residues are too many for a view"):
        pf.view(structure, esm)


def test_more_arcs_than_a_page_can_hold(structure, esm, monkeypatch):
    n = len(pf.view(structure, esm).arcs)
    monkeypatch.setattr(making, "MAX_ARCS", n)
    pf.view(structure, esm)
    monkeypatch.setattr(making, "MAX_ARCS", n - 1)
    with pytest.raises(ArgumentError, match=f"threshold: .* at most {n - 1:,} .* got 0.1"):
        pf.view(structure, esm)


def test_a_model_that_computes_nonsense(structure, tmp_path):
    model = pf.load_model(analysis_cases.save_esm(tmp_path), device="cpu")
    next(model.module.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="chain A has no arcs: NaN or infinity"):
        pf.view(structure, model)


def test_saving(tmp_path, structure, esm):
    view = pf.view(structure, esm)
    written = view.save(tmp_path / "new" / "view.html")
    page = written.read_bytes()
    assert view.save(written) == written and written.read_bytes() == page  # an earlier view
    mine = tmp_path / "notes.html"
    mine.write_text("mine")
    with pytest.raises(ResultError, match=r"no page of this package.*overwrite"):
        view.save(mine)
    assert mine.read_text() == "mine"
    assert view.save(mine, overwrite=True).read_bytes() == page
    with pytest.raises(ResultError, match="a folder stands there"):
        view.save(tmp_path)
    with pytest.raises(ResultError, match="cannot be written"):
        view.save(mine / "view.html")
    with pytest.raises(ArgumentError, match="expected the name of a file"):
        view.save("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1abc.cif", "new", "notes.html"]


@pytest.fixture
def without_viewer(monkeypatch):
    found = metadata.distribution

    def distribution(name):
        if name == "ipymolstar":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_without_the_viewer(tmp_path, structure, esm, without_viewer, capsys, monkeypatch):
    from provis_fast.viewing import page

    monkeypatch.setattr(page, "_molstar", page._molstar.__wrapped__)
    view = pf.view(structure, esm)
    assert len(view.arcs)  # what needs no page works
    install = re.escape("provis_fast[view]")
    with pytest.raises(ArgumentError, match=install):
        view.html()
    assert view._repr_html_().startswith("<p>") and "provis_fast[view]" in view._repr_html_()
    out = tmp_path / "view.html"
    with pytest.raises(ArgumentError, match=install):
        view.save(out)
    assert main(["view", str(structure), "--model", "none", "-o", str(out)]) == 2
    assert "provis_fast[view]" in capsys.readouterr().err
    assert not out.exists()
