"""The command line on a small real model: parts and their merger, bad records, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from provis_fast import storage
from provis_fast.cli import main

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a random BERT whose attention is sharp enough to have arcs."""
    folder = tmp_path_factory.mktemp("model")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    ids = {token: number for number, token in enumerate(vocabulary)}
    BertTokenizer(vocab=ids, do_lower_case=False).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=130,
    )
    bert = BertModel(config)
    with torch.no_grad():
        for layer in bert.encoder.layer:
            for part in (layer.attention.self.query, layer.attention.self.key):
                part.weight.mul_(40)
    bert.save_pretrained(folder)
    return folder


def _write_fasta(path, seed, n=6, extra=""):
    rng = np.random.default_rng(seed)
    records = [
        f">p{seed}_{k}\n{''.join(rng.choice(list(LETTERS), rng.integers(20, 120)))}\n"
        for k in range(n)
    ]
    path.write_text("".join(records) + extra)
    return str(path)


def test_parts_and_their_merger(model, tmp_path, capsys):
    files = [_write_fasta(tmp_path / f"{seed}.fasta", seed) for seed in (1, 2)]
    common = ["--properties", "amino_acid,separation,hydrophobicity", "--weighting", "both"]
    common += ["--threads", "1", "--threshold", "0.1,0.3", "--batch-tokens", "150"]
    outs = [str(tmp_path / name) for name in ("one", "two", "merged", "again")]
    assert main(["analyze", str(model), files[0], "--out", outs[0], *common]) == 0
    assert main(["analyze", str(model), files[1], "--out", outs[1], *common]) == 0
    assert main(["merge", *outs[:2], "--out", outs[2]]) == 0
    assert main(["analyze", str(model), files[0], "--out", outs[3], *common]) == 0
    one, two, merged = (storage.load(out) for out in outs[:3])
    assert one.arcs.sum() > 1000 and one.analysed == two.analysed == 6
    assert np.array_equal(merged.arcs, one.arcs + two.arcs)
    assert np.array_equal(merged.counts["separation"].sum(-1), merged.arcs)
    assert [entry["path"] for entry in merged.inputs] == ["1.fasta", "2.fasta"]
    for name in storage.FILES[:-1]:
        contents = [(tmp_path / out / name).read_bytes() for out in ("one", "again")]
        assert contents[0] == contents[1], name
    manifests = [
        json.loads((tmp_path / out / "manifest.json").read_text()) for out in ("one", "again")
    ]
    for manifest in manifests:
        manifest.pop("run")
    assert manifests[0] == manifests[1]
    assert main(["merge", outs[0], outs[3], "--out", outs[2]]) == 2
    assert "would count twice" in capsys.readouterr().err


def test_bad_records_are_set_aside(model, tmp_path, capsys):
    long = f">long\n{'ACDEFGHIKL' * 20}\n"
    fasta = _write_fasta(tmp_path / "in.fasta", 3, extra=f"{long}>odd\nACD*1EF\n")
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert "skipped: long: 200 residues" in printed.err and "failed: odd" in printed.err
    result = storage.load(tmp_path / "out")
    assert (result.read, result.analysed, result.skipped, result.failed) == (8, 6, 1, 1)
    cut = ["--max-length", "100"]
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "cut"), *cut]) == 3
    assert storage.load(tmp_path / "cut").analysed == 7


@pytest.mark.parametrize("content", ["", "ATOM not a FASTA file\n"])
def test_unusable_input(model, tmp_path, capsys, content):
    (tmp_path / "in.fasta").write_text(content)
    out = tmp_path / "out"
    assert main(["analyze", str(model), str(tmp_path / "in.fasta"), "--out", str(out)]) == 2
    assert "in.fasta" in capsys.readouterr().err and not out.exists()


def test_a_missing_model_is_named(tmp_path, capsys):
    fasta = _write_fasta(tmp_path / "in.fasta", 1)
    assert main(["analyze", "./nowhere", fasta, "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_a_partial_result(model, tmp_path):
    fasta = _write_fasta(tmp_path / "in.fasta", 5, n=20000)
    command = [sys.executable, "-m", "provis_fast", "analyze", str(model), fasta]
    command += ["--out", str(tmp_path / "out"), "--batch-tokens", "130", "--threads", "1"]
    # Elsewhere than in a clone, whose sources would come before an installed package.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    printed = []
    try:
        # The first line of progress says that the analysis is under way.
        deadline = time.monotonic() + 120
        while not printed or "proteins/s" not in printed[-1]:
            printed.append(process.stderr.readline())
            assert printed[-1] and time.monotonic() < deadline, "".join(printed)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "marked incomplete" in errors
    result = storage.load(tmp_path / "out.partial", allow_partial=True)
    assert 0 < result.analysed < 20000 and not result.complete
    assert not (tmp_path / "out").exists()
