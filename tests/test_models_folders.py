"""Folders that hold no usable model: what is wrong with them is said in words of our own."""

from __future__ import annotations

import json

import analysis_cases
import pytest
import torch
import transformers

from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import load_model, loading


@pytest.fixture
def folder(tmp_path):
    return analysis_cases.save_bert(tmp_path / "model")


def test_weights_of_another_size_are_named(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))
    with pytest.raises(ModelError, match=r"9 of another shape than config\.json says") as caught:
        load_model(folder)
    assert "intermediate.dense.bias" in str(caught.value)
    assert "report" not in str(caught.value) and "missing" not in str(caught.value)


def test_missing_tokenizer_files_are_named(folder):
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    with pytest.raises(ModelError, match="no tokenizer in") as caught:
        load_model(folder)
    message = str(caught.value)
    assert "expected vocab.txt or tokenizer.json" in message
    assert "got config.json, model.safetensors" in message


@pytest.mark.parametrize("name", [3, None, "", b"antiberty"])
def test_names_are_text(name):
    with pytest.raises(ArgumentError, match="name_or_path: expected the name of a model"):
        load_model(name)


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"])
def test_vocabularies_without_residues(folder, text, capsys):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text(text)
    with pytest.raises(ModelError, match="tokenizer") as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder) in message and "vocabulary" in message
    assert main(["doctor", "--model", str(folder)]) == 2
    assert capsys.readouterr().err == f"provis-fast: error: {message}\n"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_hidden_layers": "six"}, "num_hidden_layers.*expected int, got str"),
        ({"num_attention_heads": None}, "num_attention_heads"),
        ({"num_attention_heads": 7}, r"no BertModel can be made of .*attention heads \(7\)"),
        ({"hidden_act": "nonsense"}, "no BertModel can be made of .*nonsense"),
        ({"vocab_size": -3}, "no BertModel can be made of .*-3"),
        ({"model_type": 5}, "5"),
        ({"model_type": ["bert"]}, "cannot use"),
        ({"id2label": 3}, "cannot use"),
    ],
)
def test_config_is_blamed_for_what_it_says(folder, changes, match):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=match) as caught:
        load_model(folder)
    message = str(caught.value)
    assert message.count(str(path)) == 1 and "complete?" not in message and ".." not in message


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null"])
def test_config_that_is_none(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"cannot use .*config\.json") as caught:
        load_model(folder)
    assert ".." not in str(caught.value)


def test_missing_config_is_told_once(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"^there is no config\.json in ") as caught:
        load_model(folder)
    assert str(caught.value).count(str(folder)) == 1


def test_damaged_weights_are_not_blamed_on_the_config(folder):
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"cannot load the weights in .* complete\?"):
        load_model(folder)


def test_xlnet_is_refused_on_a_gpu_before_its_weights_are_read(tmp_path, monkeypatch):
    transformers.XLNetConfig(d_model=24, n_layer=1, n_head=2, d_inner=8).save_pretrained(tmp_path)
    monkeypatch.setattr(loading, "_device", torch.device)
    with pytest.raises(ModelError, match=r"relative position.* not supported on a GPU yet"):
        load_model(tmp_path, device="cuda")
    with pytest.raises(ModelError, match="cannot load the weights"):  # so the CPU is not refused
        load_model(tmp_path, device="cpu")
