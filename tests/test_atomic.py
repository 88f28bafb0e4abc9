"""Files and folders that take the place of others: what is on the disk, and when."""

from __future__ import annotations

import os

import pytest

from provis_fast import atomic
from provis_fast.errors import ResultError


@pytest.fixture
def steps(monkeypatch):
    """What is renamed, and which folders are flushed, in their order; names only."""
    done = []

    def recorded(name, function, which):
        def call(*arguments):
            function(*arguments)
            done.append((name, os.path.basename(arguments[which])))

        return call

    monkeypatch.setattr(atomic.os, "rename", recorded("rename", os.rename, 1))
    monkeypatch.setattr(atomic.os, "replace", recorded("rename", os.replace, 1))
    monkeypatch.setattr(atomic, "flush_folder", recorded("flush", atomic.flush_folder, 0))
    return done


def test_a_folder_is_flushed_with_all_in_it_before_it_is_named_and_after(tmp_path, steps):
    with atomic.replaced_folder(tmp_path / "new") as folder:
        (folder / "a" / "b").mkdir(parents=True)
    assert sorted(steps[:3]) == sorted([("flush", folder.name), ("flush", "a"), ("flush", "b")])
    assert steps[3:] == [("rename", "new"), ("flush", tmp_path.name)]


def test_a_file_is_named_and_its_folder_flushed(tmp_path, steps):
    with atomic.replaced_file(tmp_path / "new") as path:
        path.write_text("content")
    assert steps == [("rename", "new"), ("flush", tmp_path.name)]


def test_a_folder_that_cannot_be_flushed_is_told(tmp_path, monkeypatch):
    def failing(folder):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic, "flush_folder", failing)
    with pytest.raises(ResultError, match="new: cannot be written"):
        with atomic.replaced_folder(tmp_path / "new"):
            pass
    assert os.listdir(tmp_path) == []
