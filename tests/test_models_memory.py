"""Weights are in memory once while a model is loaded, and in the dtype that was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny_models import PROTBERT_VOCABULARY, bert_tokenizer, tiny
from transformers import BertConfig, BertModel

from provis_fast.errors import ModelError
from provis_fast.models import load_model

MIB = 1 << 20

# Loads a small model first, so that what stays of imports does not count; then a large one, and
# reads every weight of it (the digest does).
SCRIPT = """
import json, sys
from pathlib import Path
from provis_fast.models import load_model

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(l for l in lines if l.startswith("VmHWM")).split()[1])

small, large, dtype = sys.argv[1:]
load_model(small).digest
before = peak()
model = load_model(large, dtype=dtype)
model.digest
weights = sum(w.numel() * w.element_size() for w in model.module.parameters())
print(json.dumps({"grown": peak() - before, "weights": weights, "dtype": str(model.dtype)}))
"""


def save(folder: Path, hidden: int, layers: int, dtype: torch.dtype = torch.float32) -> Path:
    config = BertConfig(
        vocab_size=len(PROTBERT_VOCABULARY),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=8,
        intermediate_size=4 * hidden,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = BertModel(config, add_pooling_layer=False).to(dtype)
    model.save_pretrained(folder, max_shard_size="20MB")
    bert_tokenizer().save_pretrained(folder)
    return folder


def load_elsewhere(small: Path, large: Path, dtype: str) -> dict:
    """Peak memory of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(small), str(large), dtype],
        capture_output=True,
        text=True,
        check=False,
        cwd=small,  # not the clone, whose sources would hide an installed package
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc"
)
@pytest.mark.parametrize(
    ("stored", "dtype"), [("float32", "float32"), ("float16", "auto"), ("float32", "bfloat16")]
)
def test_weights_are_in_memory_once(tmp_path, stored, dtype):
    small = save(tmp_path / "small", 32, 1)
    large = save(tmp_path / "large", 768, 12, getattr(torch, stored))
    shards = sorted(large.glob("*.safetensors"))
    assert len(shards) >= 8
    found = load_elsewhere(small, large, dtype)
    expected = stored if dtype == "auto" else dtype
    assert found["dtype"] == f"torch.{expected}"
    assert found["weights"] > 150 * MIB
    # Where weights are converted, pages of the files that have been read count as well; the system
    # takes them back when it needs them.
    files = 0 if expected == stored else sum(shard.stat().st_size for shard in shards)
    assert found["grown"] < 1.25 * (found["weights"] + files) + 24 * MIB


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_auto_is_the_dtype_of_the_checkpoint(tmp_path, stored):
    folder = save(tmp_path / "model", 32, 1, getattr(torch, stored))
    with safe_open(next(folder.glob("*.safetensors")), "pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {getattr(torch, stored)}
    model = load_model(folder, dtype="auto")
    assert {weights.dtype for weights in model.module.parameters()} == {getattr(torch, stored)}
    # A config that says nothing leaves it to the weights.
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({key: value for key, value in config.items() if "dtype" not in key})
    )
    assert load_model(folder, dtype="auto").digest == model.digest
    assert load_model(folder).dtype == torch.float32


def test_a_dtype_that_cannot_be_computed_with_is_refused(tmp_path):
    folder = tmp_path / "model"
    tiny("bert").to(torch.float8_e4m3fn).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    with pytest.raises(ModelError, match=r"float8_e4m3fn|cannot load the weights"):
        load_model(folder, dtype="auto")
