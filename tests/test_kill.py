"""Runs of the command line killed at random moments: in the end the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import time

import analysis_cases
import corpus_cases
import kill_cases
import pytest

from provis_fast import storage

#: Of an unkilled run; by them the moments are spread over one.
_SESSIONS = 7
_REPLICATES = ["--bootstrap", "50", "--permutations", "3"]


@pytest.mark.parametrize(
    ("kills", "seed", "replicates"),
    [(10, 0, []), (6, 3, _REPLICATES), pytest.param(100, 1, _REPLICATES, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments(tmp_path, kills, seed, replicates):
    """SIGKILL, that is: nobody is asked. Half of the runs write a checkpoint after every pack, so
    that many of the moments fall into that."""
    rng = random.Random(seed)
    model = analysis_cases.save_bert(tmp_path / "bert", layers=4, head_size=16)
    corpus = corpus_cases.write_corpus(tmp_path / "data", 600)
    out, whole, seen = tmp_path / "out", tmp_path / "whole", []
    command = ["analyze", model, corpus, "--properties", "amino_acid,contact,secondary_structure"]
    command += [*replicates, "--weighting", "both", "--batch-tokens", "200", "--threads", "1"]
    command += ["--out"]
    with kill_cases.Runner(tmp_path) as provis_fast:
        begun = time.monotonic()
        assert provis_fast(*command, whole) == 3
        lasts = time.monotonic() - begun
        result = storage.load(whole)
        assert result.arcs.sum() > 1000 and result.skipped > 20 and result.failed > 20
        tokens = json.loads((whole / "manifest.json").read_text())["run"][0]["tokens"]
        killed = sessions = 0
        while killed < kills or sessions:
            every = rng.choice(["0", "0.05"])
            # Once there were kills enough, the last run is left to itself.
            after = rng.uniform(0, 2 * lasts / _SESSIONS) if killed < kills else None
            begun_before = (tmp_path / "out.partial").exists()
            status = provis_fast(*command, out, "--checkpoint-seconds", every, kill_after=after)
            if status == -9:
                killed, sessions = killed + 1, sessions + 1
                if not out.exists():
                    continue
                # It was killed with its result in place already; asked again, it says so.
                assert provis_fast(*command, out) == 3
                assert "holds the result of this run already" in provis_fast.log
            else:
                assert status == 3, provis_fast.log
                assert not begun_before or "INFO: continuing from" in provis_fast.log
            corpus_cases.assert_same_files(out, whole)
            assert not (tmp_path / "out.partial").exists()
            run = json.loads((out / "manifest.json").read_text())["run"]
            assert sum(session["tokens"] for session in run) == tokens
            seen.append(len(run))
            shutil.rmtree(out)
            sessions = 0
        left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert max(seen) >= 3, "no run was killed between its checkpoints"
    assert all(name.startswith(".out.") for name in left)


def test_shards_killed_and_merged(tmp_path):
    rng = random.Random(2)
    model = analysis_cases.save_bert(tmp_path / "bert")
    corpus = corpus_cases.write_corpus(tmp_path / "data", 300)
    command = ["analyze", model, corpus, "--batch-tokens", "200", "--threads", "1"]
    command += ["--checkpoint-seconds", "0", *_REPLICATES]
    with kill_cases.Runner(tmp_path) as provis_fast:
        assert provis_fast(*command, "--out", tmp_path / "whole") == 3
        outs = [tmp_path / f"part{index}" for index in (1, 2, 3)]
        for index, out in enumerate(outs, start=1):
            shard = ["--shard", f"{index}/3", "--out", out]
            provis_fast(*command, *shard, kill_after=rng.uniform(0.2, 0.6))
            assert provis_fast(*command, *shard) == 3, provis_fast.log
        assert provis_fast("merge", *outs[::-1], "--out", tmp_path / "merged") == 0
    corpus_cases.assert_same_files(tmp_path / "merged", tmp_path / "whole")
