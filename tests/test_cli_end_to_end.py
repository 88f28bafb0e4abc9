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
        (run,) = manifest.pop("run")
        assert {"started", "seconds", "host", "threads", "tokens", "command"} == set(run)
    assert manifests[0] == manifests[1]
    assert main(["merge", outs[0], outs[3], "--out", str(tmp_path / "twice")]) == 2
    assert "would count twice" in capsys.readouterr().err


def test_bad_records_are_set_aside(model, tmp_path, capsys):
    long = f">long\n{'ACDEFGHIKL' * 20}\n"
    fasta = _write_fasta(tmp_path / "in.fasta", 3, extra=f"{long}>odd\nACD*1EF\n")
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert "skipped: long (in.fasta:13): 200 residues" in printed.err
    assert "failed: odd (in.fasta:16): " in printed.err
    result = storage.load(tmp_path / "out")
    assert (result.read, result.analysed, result.skipped, result.failed) == (8, 6, 1, 1)
    cut = ["--max-length", "100"]
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "cut"), *cut]) == 3
    assert storage.load(tmp_path / "cut").analysed == 7


def test_a_warning_is_told_once(model, tmp_path, capsys):
    """By the reader's log for those who read proteins; here, by the notes at the end."""
    code = "import sys; from provis_fast.cli import main; sys.exit(main())"
    fasta = _write_fasta(tmp_path / "in.fasta", 3, extra=f">dna\n{'ACGT' * 20}\n>odd\nA*C\n")
    command = [sys.executable, "-c", code, "analyze", str(model), fasta]
    command += ["--out", str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr.count("nucleotide") == 1 and "note: dna: only the letters" in ran.stderr
    assert "not analysed" not in ran.stderr


def test_a_changed_copy_of_a_file_does_not_count_twice(model, tmp_path, capsys):
    files = [_write_fasta(tmp_path / f"{name}.fasta", 1, extra="\n" * name) for name in (0, 1)]
    outs = [str(tmp_path / f"out{name}") for name in (0, 1)]
    for file, out in zip(files, outs, strict=True):
        assert main(["analyze", str(model), file, "--out", out]) == 0
    merge = ["merge", *outs, "--out", str(tmp_path / "merged")]
    assert main(merge) == 2
    assert "hold the same 6 protein(s)" in capsys.readouterr().err
    assert main([*merge, "--allow-overlap"]) == 0
    assert storage.load(tmp_path / "merged").analysed == 12


def test_nothing_usable_leaves_no_result(model, tmp_path, capsys):
    (tmp_path / "in.fasta").write_text(">odd\nA*C\n>odder\nA1\n")
    out = tmp_path / "out"
    assert main(["analyze", str(model), str(tmp_path / "in.fasta"), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert "error: no protein could be analysed, of 2 read" in printed and not out.exists()
    assert "failed: odd (in.fasta:2): " in printed


def test_notes_about_proteins_end_up_in_the_files(model, tmp_path):
    fasta = _write_fasta(tmp_path / "in.fasta", 3, extra=">gapped\nACD--EF\n")
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "out")]) == 0
    reason = "2 gap characters of an alignment were dropped"
    proteins = json.loads((tmp_path / "out" / "manifest.json").read_text())["proteins"]
    (note,) = proteins["notes"]
    assert (note["record"], note["id"], note["reason"]) == (7, "gapped", reason)
    assert proteins["noted"] == 1
    _, line = (tmp_path / "out" / "failed.tsv").read_text().splitlines()
    assert line.split("\t") == ["7", "gapped", "noted", "in.fasta", "13", reason]
    assert f"gapped: {reason}" in storage.load(tmp_path / "out").notes


def test_entropy_and_the_background_of_another_corpus(model, tmp_path):
    fasta = _write_fasta(tmp_path / "in.fasta", 3)
    (tmp_path / "other.fasta").write_text(">b\nAACC\n")
    options = ["--entropy", "--compat", "provis", "--background", str(tmp_path / "other.fasta")]
    assert main(["analyze", str(model), fasta, "--out", str(tmp_path / "out"), *options]) == 0
    result = storage.load(tmp_path / "out")
    assert np.isfinite(result.entropy).all()
    assert result.background["amino_acid"][:3].tolist() == [0.5, 0.0, 0.5]
    assert result.options["background"][0]["path"] == "other.fasta"


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


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_a_partial_result(model, tmp_path, capsys, number):
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
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "marked incomplete" in errors
    result = storage.load(tmp_path / "out.partial", allow_partial=True)
    assert 0 < result.analysed < 20000 and not result.complete
    assert not (tmp_path / "out").exists()
    # What was kept does not give way to another run unasked.
    assert main([*command[3:], "--threshold", "0.5"]) == 2
    printed = capsys.readouterr().err
    assert (
        "the checkpoint of another run, which differs in\n  threshold: [0.3] there, [0.5] now"
        in (printed)
    )
    assert "--no-resume" in printed
    assert storage.load(tmp_path / "out.partial", allow_partial=True).equals(result)
