"""``provis-fast doctor --model``."""

from __future__ import annotations

import re

import analysis_cases
import pytest
import tiny_models
import torch
import transformers

from provis_fast.cli import main
from provis_fast.cli.doctor_model import describe, kernel_features, memory
from provis_fast.models import Model, TokenTable, load_model


def printed(capsys) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return dict(re.split(r" {2,}|(?<=.{18}) ", line, maxsplit=1) for line in lines)


def test_bert(tmp_path, capsys):
    folder = analysis_cases.save_bert(tmp_path, layers=3, heads=4, head_size=8, positions=130)
    assert main(["doctor", "--model", str(folder)]) == 0
    lines = printed(capsys)
    model = load_model(folder)
    count = sum(weights.numel() for weights in model.module.parameters())
    assert lines == {
        "model": str(folder),
        "family": "bert (BertModel)",
        "attention": "3 layers x 4 heads x 8",
        "residues": "ABCDEFGHIKLMNOPQRSTUVWXYZ",
        "special tokens": "1 before a protein, 1 behind it",
        "longest protein": "128 residues",
        "run": "packed, several proteins in a row",
        "positions": "learned, added to the tokens",
        "kernel": "plain attention",
        "dtype": "float32",
        "weights": f"{count:,} in {memory(4 * count)}",
        "digest": f"{model.digest} (of the weights as float32)",
    }


def test_rotary_in_half_precision(tmp_path, capsys):
    folder = analysis_cases.save_esm(tmp_path)
    load_model(folder).module.to(torch.bfloat16).save_pretrained(folder)
    assert main(["doctor", "--model", str(folder)]) == 0
    lines = printed(capsys)
    assert lines["longest protein"] == "no limit"
    assert lines["positions"] == "rotary, turned by the model before the kernel"
    assert lines["dtype"] == "bfloat16"
    assert lines["digest"].startswith(load_model(folder, dtype="auto").digest)


def test_letters_without_a_token_of_their_own():
    table = TokenTable.from_tokenizer(
        tiny_models.bert_tokenizer(tiny_models.ANTIBERTY_VOCABULARY), "a model"
    )
    split = TokenTable(table.table, (), (), "a model", table.without_token, frozenset("XB"))
    lines = describe(Model(tiny_models.tiny("bert"), split, "a model", "abc"))
    assert lines["model"] == "a model at abc"
    assert lines["unknown token for"] == "B, O, U, X, Z"
    assert lines["not cut in pieces"] == "B, X"
    assert lines["special tokens"] == "0 before a protein, 0 behind it"


def test_what_the_kernel_adds():
    modern = transformers.ModernBertConfig(local_attention=128)
    assert kernel_features(modern) == ["sliding window of 64 tokens to either side"]
    assert kernel_features(transformers.T5Config()) == ["relative bias by distance"]
    assert kernel_features(transformers.XLNetConfig()) == ["term of relative position"]
    assert kernel_features(transformers.BertConfig()) == []


@pytest.mark.parametrize("config", [transformers.GPT2Config(), transformers.DebertaV2Config()])
def test_models_that_cannot_be_analysed(tmp_path, capsys, config):
    config.save_pretrained(tmp_path)
    assert main(["doctor", "--model", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("provis-fast: error: ") and "Traceback" not in message


def test_no_such_model(tmp_path, capsys):
    assert main(["doctor", "--model", str(tmp_path / "nothing")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["doctor", "--model", ""]) == 2
    assert "expected the name or folder of a model" in capsys.readouterr().err


def test_sizes():
    assert [memory(n) for n in (0, 1023, 1024, 1536 << 20)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 GiB",
    ]
