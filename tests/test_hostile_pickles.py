"""Hostile pickles run no code, end, and take bounded memory; see hostile_pickles.py."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import hostile_pickles
import numpy as np
import pytest

from provis_fast.errors import InputError
from provis_fast.proteins import limits, plain_pickle


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> tuple[dict[str, str], Path]:
    """What became of each pickle, and the folder in which none must leave a trace."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, hostile_pickles.__file__, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert ran.returncode == 0 and ran.stdout.endswith("all read\n"), (ran.stdout, ran.stderr)
    lines = ran.stdout.splitlines()[:-1]
    return dict(line.split(": ", 1) for line in lines), folder


@pytest.mark.parametrize("name", hostile_pickles.cases("witness"))
def test_each_is_refused(outcomes, name):
    said, folder = outcomes
    assert said[name].startswith(("refused pickle: ", "damaged pickle: "))
    assert len(said[name]) < 400
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("os.system, protocol 4", "it calls posix.system"),
        ("EXT1", "registered"),
        ("BINPERSID", "outside of it"),
        ("INST", "objects of a class"),
        ("BUILD on a function", "changes a function"),
        ("an array changed again", "changes an array"),
        ("LONG_BINPUT", "memo's entry 2147483647"),
        ("BINBYTES8", "declares 1099511627776 bytes where 2 are left"),
        ("array of 2**64", "18,446,744,073,709,551,616 bytes"),
        ("tuples of tuples as a key", "repeats itself"),
        ("a list in itself", "contains itself"),
        ("dictionaries of dictionaries", "repeats itself"),
        ("keys of one hash", "keys"),
        ("sets of nothing", "unpacks to far more than its 8000004 bytes"),
        ("the same bytes, a thousand arrays", "far more data than it has"),
        ("no end", "has no end"),
    ],
)
def test_the_reason_is_told(outcomes, name, reason):
    assert reason in outcomes[0][name]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_large_plain_records_are_within_bounds(protocol):
    rng = np.random.default_rng(0)
    positions = [f"{n}{'ABC'[n % 3]}" for n in range(5000)]
    record = {
        "id": "1abc",
        "primary": "MKVLA" * 1000,
        "positions": positions,
        "sites": positions[::7],  # the same strings: through the memo
        "numbers": list(range(300, 5300)),
        "scores": rng.normal(size=5000).tolist(),
        "contacts": [(int(i), int(j)) for i, j in rng.integers(0, 5000, (9000, 2))],
        "shared": [positions[:5]] * 300,
        "set": {np.int64(n) for n in range(3000)},
        "pairs": {(n, n + 6) for n in range(900)},
        "tertiary": rng.normal(size=(5000, 3)).astype(np.float32),
        "swapped": np.arange(5000, dtype=">i4"),
        "mask": np.ones(5000, bool),
        "empty": np.zeros((0, 3)),
    }
    found = plain_pickle.loads(pickle.dumps(record, protocol))
    np.testing.assert_equal(found, record)


def test_many_small_pickles_of_python_2():
    # {'id': 'p', 'n': 7L, 'a': (1.5, None)} with cPickle's protocol 0, memo from 1 on.
    old = b"(dp1\nS'id'\np2\nS'p'\np3\nsS'n'\np4\nL7L\nsS'a'\np5\n(F1.5\nNtp6\ns."
    assert plain_pickle.loads(old) == {"id": "p", "n": 7, "a": (1.5, None)}


def test_the_size_of_a_record_is_limited(monkeypatch):
    data = pickle.dumps({"primary": "M" * 1000})
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", len(data))
    plain_pickle.loads(data)
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", len(data) - 1)
    with pytest.raises(InputError, match="expected at most 1,0"):
        plain_pickle.loads(data)


def test_pickles_changed_at_random_end_well():
    """Every byte of a pickle replaced by every other: read or refused, nothing else."""
    value = {"a": [1, (2.5, "x")], "b": np.arange(3), "c": {4}, "d": {"e": b"y" * 3}}
    for protocol in (0, 2, 4):
        data = bytearray(pickle.dumps(value, protocol))
        for at in range(len(data)):
            before = data[at]
            for byte in range(0, 256, 5):
                data[at] = byte
                try:
                    repr(plain_pickle.loads(bytes(data)))
                except InputError:
                    pass
            data[at] = before
