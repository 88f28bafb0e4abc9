"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real data and weights that are not part of the project."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("PROVIS_FAST_SHARED", default))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set PROVIS_FAST_SHARED to a folder with data/ and models/")
    return folder
