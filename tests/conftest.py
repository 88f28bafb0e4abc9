"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import analysis_cases
import browser as browsers
import distributed_cases
import pytest

import provis_fast as pf
from provis_fast import distributed


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real data and weights that are not part of the project."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("PROVIS_FAST_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set PROVIS_FAST_SHARED to a folder with data/ and models/")
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> pf.Model:
    """A small BERT for up to 128 residues."""
    return pf.load_model(analysis_cases.save_bert(tmp_path_factory.mktemp("bert")), device="cpu")


@pytest.fixture(scope="module")
def esm(tmp_path_factory) -> pf.Model:
    """A small rotary ESM-2."""
    return pf.load_model(analysis_cases.save_esm(tmp_path_factory.mktemp("esm")), device="cpu")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium without a network; see `browser.visit`."""
    with browsers.started() as started:
        yield started


@pytest.fixture
def in_threads(monkeypatch):
    """Workers without processes, which are slow to start."""
    monkeypatch.setattr(
        distributed, "_transport", lambda team, spec: distributed_cases.InThreads(spec)
    )


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Shells start jobs in the background with Ctrl-C ignored; tests that send it need it heard."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
