"""``provis-fast reproduce`` from the command line to its files."""

from __future__ import annotations

import json
import shutil

import analysis_cases
import pytest
import reproduction_cases as cases

import provis_fast as pf
from provis_fast.cli import main
from provis_fast.cli.arguments import make_parser
from provis_fast.reproduction import PUBLISHED_MODELS, experiment

lmdb = pytest.importorskip("lmdb")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tape-bert"
    folder.mkdir()
    return str(analysis_cases.save_bert(folder, positions=512, layers=12, heads=12, head_size=4))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cases.write_all(tmp_path_factory.mktemp("data"))


def test_all_of_it(model, data, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["reproduce", model, str(data), "--proteins", "6", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "Compared with TapeBert as published" in printed.out  # told by the folder's name
    assert "44.67%" in printed.out and "published 0.727" in printed.out
    assert "proteinnet: the background of its file, then 6 proteins" in printed.err
    saved = json.loads((out / "reproduce.json").read_text())
    assert saved["complete"] and not saved["missing"] and saved["options"]["proteins"] == 6
    assert saved["compared_with"]["name"] == "tape-bert"
    for entry in saved["data_sets"]:
        result = pf.load_result(out / entry["folder"])
        assert result.compat == "provis" and result.analysed == entry["analysed"] == 6
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    before = (out / "reproduce.json").read_bytes()
    assert main([*arguments, "--overwrite"]) == 0
    assert (out / "reproduce.json").read_bytes() == before


def test_a_part_is_missing_or_all_of_it(model, data, tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    out = ["--out", str(tmp_path / "out"), "--overwrite", "--proteins", "3"]
    assert main(["reproduce", model, str(folder), *out]) == 2
    assert "github.com/salesforce/provis" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    shutil.copytree(data / "binding_sites", folder / "binding_sites")
    assert main(["reproduce", model, str(folder), *out]) == 3
    assert "NOT MEASURED:\n  contact, amino_acid: no file" in capsys.readouterr().out
    assert main(["reproduce", model, str(folder), *out, "--properties", "binding_site"]) == 0
    assert "NOT MEASURED" not in capsys.readouterr().out
    assert main(["reproduce", model, str(folder), *out, "--properties", "site"]) == 2
    assert main(["reproduce", model, str(folder), *out, "--model-name", "prot_bert"]) == 2
    assert "30 layers x 16 heads" in capsys.readouterr().err
    assert main(["reproduce", model, str(tmp_path / "nowhere"), *out]) == 2
    assert main(["reproduce", model, str(folder), "--out", str(folder)]) == 2
    assert "holds something else" in capsys.readouterr().err


def test_a_damaged_protein_is_told(model, tmp_path, capsys):
    records = [*cases.site_records("sites", 3)[:4], {"id": "bad"}]
    cases.write_lmdb(tmp_path / "binding_site_train.lmdb", records)
    arguments = ["reproduce", model, str(tmp_path), "--properties", "binding_site"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 3
    assert "1 of the drawn proteins were not analysed" in capsys.readouterr().out


def test_interrupted(model, data, tmp_path, capsys, monkeypatch):
    analyze, calls = experiment.analyze, []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return analyze(*arguments, **options)

    monkeypatch.setattr(experiment, "analyze", interrupted)
    out = tmp_path / "out"
    arguments = ["reproduce", model, str(data), "--proteins", "3", "--out", str(out)]
    assert main(arguments) == 130
    assert not out.exists()
    saved = json.loads((tmp_path / "out.partial" / "reproduce.json").read_text())
    assert not saved["complete"] and list(saved["properties"]) == ["contact", "amino_acid"]
    assert "INCOMPLETE" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_what_cannot_be_written_is_saved_elsewhere(model, data, tmp_path, capsys, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out, analyze = tmp_path / "out", experiment.analyze

    def meanwhile(*arguments, **options):
        out.mkdir()
        (out / "other.txt").write_text("")
        return analyze(*arguments, **options)

    monkeypatch.setattr(experiment, "analyze", meanwhile)
    arguments = ["reproduce", model, str(data), "--properties", "binding_site"]
    assert main([*arguments, "--proteins", "3", "--out", str(out)]) == 2
    (spare,) = tmp_path.glob("provis_fast-out-*")
    assert f"saved in {spare} instead" in capsys.readouterr().err
    assert pf.load_result(spare / "binding_sites").analysed == 3


def test_the_parser_knows_the_same_models_and_defaults():
    found = make_parser().parse_args(["reproduce", "m", "d"])
    assert (found.proteins, found.seed) == (5000, experiment.SEED)
    for name in PUBLISHED_MODELS:
        make_parser().parse_args(["reproduce", "m", "d", "--model-name", name])
