"""Folders that hold no usable model: what is wrong with them is said in words of our own."""

from __future__ import annotations

import json

import analysis_cases
import pytest

from provis_fast.errors import ArgumentError, ModelError
from provis_fast.models import load_model


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
