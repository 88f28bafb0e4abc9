"""Figures as files: bytes, formats, folders, and the command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from figure_cases import made_up
from PIL import Image

from provis_fast import figures
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ResultError

SOME = ("contact", "hydrophobicity")


@pytest.mark.parametrize("kind", figures.FORMATS)
def test_the_same_result_gives_the_same_bytes(kind, tmp_path):
    for name in "ab":
        figures.save_all(made_up(), tmp_path / name, (kind,), ["binding_site"])
    first = sorted((tmp_path / "a").iterdir())
    assert len(first) == 5  # arcs, map, best heads, layers, captions
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_another_process_writes_the_same_bytes(tmp_path):
    code = (
        "from figure_cases import made_up; from provis_fast import figures\n"
        f"figures.save(figures.heat_map(made_up(), 'contact'), {str(tmp_path / 'a')!r} + '.svg')\n"
        f"figures.save(figures.heat_map(made_up(), 'contact'), {str(tmp_path / 'a')!r} + '.pdf')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
    for kind in ("svg", "pdf"):
        path = figures.save(figures.heat_map(made_up(), "contact"), tmp_path / f"b.{kind}")
        assert path.read_bytes() == (tmp_path / f"a.{kind}").read_bytes()


def test_text_in_svg_is_text_without_dates_and_addresses(tmp_path):
    path = figures.save(figures.heat_map(made_up(), "contact"), tmp_path / "a.svg", caption=True)
    text = path.read_text()
    words = [element.text for element in ElementTree.fromstring(text).iter() if element.text]
    assert "Attention on contact pairs" in words and "head" in words
    assert any("5 proteins" in word for word in words)
    assert "<dc:date>" not in text
    pdf = figures.save(figures.heat_map(made_up(), "contact"), tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"CreationDate" not in pdf


def test_files_are_small(tmp_path):
    result = made_up(30, 16, n_proteins=2)
    most = {"svg": 70_000, "pdf": 70_000, "png": 200_000}
    for kind in figures.FORMATS:
        path = figures.save(figures.heat_map(result, "contact"), tmp_path / f"a.{kind}")
        assert path.stat().st_size < most[kind]


def test_a_caption_is_drawn_below_and_leaves_the_figure_alone(tmp_path):
    figure = figures.heat_map(made_up(), "contact")
    without = Image.open(figures.save(figure, tmp_path / "a.png"))
    under = Image.open(figures.save(figure, tmp_path / "b.png", caption=True))
    again = Image.open(figures.save(figure, tmp_path / "c.png"))
    assert under.width == without.width and under.height > without.height + 60
    assert again.tobytes() == without.tobytes()
    assert under.crop((0, 0, *without.size)).tobytes() == without.tobytes()
    below = under.convert("L").crop((0, without.height, *under.size))
    assert below.getextrema()[0] < 100
    margin = below.crop((below.width - 8, 0, below.width, below.height))
    assert margin.getextrema()[0] == 255  # nothing runs over the edge


@pytest.mark.parametrize("name", ["heat_map", "layers", "separation", "thresholds", "top_heads"])
def test_notebooks_cut_off_margins_alone(name, tmp_path):
    """Jupyter shows what the tight box of a figure holds: legends have to be in it."""
    options = ("contact",) if name in ("heat_map", "top_heads", "thresholds") else ()
    figure = getattr(figures, name)(made_up(thresholds=(0.1, 0.3)), *options)
    widths = []
    for box in (None, "tight"):
        figure.savefig(tmp_path / "x.png", bbox_inches=box, dpi=50)
        widths.append(Image.open(tmp_path / "x.png").width)
    assert widths[1] > widths[0] - 15


def test_save_refuses_other_formats_and_places(tmp_path):
    figure = figures.heat_map(made_up(2, 2), "contact")
    for name in ("a.gif", "a"):
        with pytest.raises(ArgumentError, match=r"path: expected a name that ends in .png, .svg"):
            figures.save(figure, tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be written"):
        figures.save(figure, tmp_path / "file" / "a.png")


def test_all_figures_and_their_captions(tmp_path):
    result = made_up()
    paths = figures.save_all(result, tmp_path / "new" / "folder", ("svg", "pdf"), SOME)
    names = [path.name for path in paths]
    assert names == [
        f"{name}.{kind}"
        for name in (
            "arcs_per_head",
            "heat_map-contact",
            "top_heads-contact",
            "heat_map-hydrophobicity",
            "top_heads-hydrophobicity",
            "layers",
        )
        for kind in ("svg", "pdf")
    ]
    text = (tmp_path / "new" / "folder" / "captions.txt").read_text()
    for plan in figures.planned(result, SOME):
        assert f"{plan.name}: {figures.caption(plan.make())}\n" in text


def test_what_has_too_few_arcs_is_left_out_and_told(tmp_path, caplog):
    result = made_up(min_arcs=10**9, properties=["contact"])
    names = [path.stem for path in figures.save_all(result, tmp_path, ("svg",))]
    assert names == ["arcs_per_head", "heat_map-contact"]
    assert "top_heads-contact: left out. attention on contact pairs: no head has" in caplog.text
    assert "layers: left out" in caplog.text


def test_earlier_figures_are_replaced_only_when_asked(tmp_path):
    result = made_up(2, 3, properties=["contact"])
    figures.save_all(result, tmp_path, "svg")
    standing = tmp_path / "heat_map-contact.svg"
    standing.write_text("somebody's")
    with pytest.raises(ResultError, match="holds earlier figures"):
        figures.save_all(result, tmp_path, "svg")
    assert standing.read_text() == "somebody's"
    figures.save_all(result, tmp_path, "svg", overwrite=True)
    assert "<svg" in standing.read_text()
    with pytest.raises(ArgumentError, match="formats: expected some of png, svg, pdf, got"):
        figures.save_all(result, tmp_path, ("png", "gif"))


def test_the_command(tmp_path, capsys):
    result = made_up(3, 4, properties=["contact"])
    result.save(tmp_path / "result")
    command = ["figures", str(tmp_path / "result"), "--formats", "svg"]
    assert main([*command, "--out", str(tmp_path / "new")]) == 0
    assert "(4 files, captions.txt)" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "arcs_per_head.svg",
        "captions.txt",
        "heat_map-contact.svg",
        "layers.svg",
        "top_heads-contact.svg",
    ]
    assert main([*command, "--out", str(tmp_path / "new")]) == 2
    assert "holds earlier figures" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "new"), "--overwrite", "--no-captions"]) == 0
    svg = (tmp_path / "new" / "layers.svg").read_text()
    assert "Layers are counted from 1" not in svg
    assert main([*command, "--properties", "contact"]) == 0
    assert (tmp_path / "result" / "figures" / "layers.svg").exists()
    shutil.rmtree(tmp_path / "result" / "figures")
    for wrong, message in (
        (["--properties", "sheet"], "no property 'sheet' here, only contact"),
        (["--formats", "gif"], "formats: expected some of png, svg, pdf"),
    ):
        assert main([*command, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["figures", str(tmp_path / "nothing")]) == 2
    assert not (tmp_path / "result" / "figures").exists()


def test_the_command_takes_incomplete_results_when_asked(tmp_path, capsys):
    result = made_up(2, 3, properties=["contact"])
    result.complete = False
    result.save(tmp_path / "result")
    command = ["figures", str(tmp_path / "result"), "--formats", "svg"]
    assert main(command) == 2
    assert "incomplete" in capsys.readouterr().err
    assert main([*command, "--allow-partial"]) == 0
    text = (tmp_path / "result" / "figures" / "captions.txt").read_text()
    assert len(re.findall("Incomplete: a part of the input is missing", text)) == 4
