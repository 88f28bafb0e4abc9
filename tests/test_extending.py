"""The example of docs/extending.md, installed as pip would leave it, without pip."""

from __future__ import annotations

import gzip
import importlib
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import provis_fast as pf
from provis_fast.errors import ArgumentError
from provis_fast.properties import REGISTRY, registry, resolve
from provis_fast.proteins import SetAside, formats

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


def block(language: str, which: int = 0) -> str:
    """A block of code of the page."""
    if not PAGE.exists():
        pytest.skip("docs/ is not beside tests/")
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[which]


def install(folder: Path, name: str, module: str, points: dict[str, dict[str, str]]) -> None:
    """Put a package where Python finds it: its module, and what pip writes about it."""
    (folder / f"{name}.py").write_text(module)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages; what they announce is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    forget = (registry._announced.cache_clear, formats.formats.cache_clear)
    for clear in forget:
        clear()
    importlib.invalidate_caches()
    yield folder
    for clear in forget:
        clear()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_the_example_of_the_documentation(site, tmp_path):
    project = tomllib.loads(block("toml"))["project"]
    install(site, project["name"], block("python"), project["entry-points"])
    text = "p\tMKXV\nbad\tM1\n\nq\tGA\n"
    (tmp_path / "a.seqtab").write_text(text)
    (tmp_path / "b.seqtab.gz").write_bytes(gzip.compress(text.replace("p", "r").encode())[:-9])
    p, bad, none, q = pf.load_proteins(tmp_path / "a.seqtab").records()
    assert [(x.id, x.sequence, x.line) for x in (p, q)] == [("p", "MKXV", 1), ("q", "GA", 4)]
    assert (bad.id, bad.line, none.id, none.line) == ("bad", 2, "line 3", 3)
    *_, last = pf.load_proteins(tmp_path / "b.seqtab.gz").records()
    assert isinstance(last, SetAside) and "damaged file" in last.reason
    assert [x.id for x in pf.load_proteins(tmp_path, format="seqtab")] == ["p", "q", "r"]

    assert "disorder_promoting" in REGISTRY and "disorder_promoting" in list(REGISTRY)
    (found,) = resolve("disorder_promoting")
    assert found.name == "disorder_promoting"
    np.testing.assert_array_equal(found.encode(p), [1, 0, -1, 1])  # class 0 is yes


def test_nothing_is_imported_before_it_is_asked_for(site):
    points = {"provis_fast.properties": {"lazy": "lazy_package:make", "amino": "absent:make"}}
    module = (
        "import provis_fast as pf\n\ndef make():\n    return pf.KeyValue('lazy', lambda p: None)\n"
    )
    install(site, "lazy_package", module, points)
    assert {"lazy", "amino", "amino_acid"} <= set(REGISTRY)
    resolve(["amino_acid", "contact"])
    assert "lazy_package" not in sys.modules
    assert resolve("lazy")[0].name == "lazy"
    assert "lazy_package" in sys.modules


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("make = 3", "cannot be loaded: TypeError"),
        ("make = lambda: 3", "expected a function that returns .* got 3"),
        (
            "import provis_fast as pf\nmake = lambda: pf.KeyValue('other', lambda p: None)",
            "of that name",
        ),
        ("def make(): raise KeyError('x')", "cannot be loaded: KeyError"),
    ],
)
def test_a_bad_property_names_its_package(site, module, said):
    install(site, "bad_package", module, {"provis_fast.properties": {"bad": "bad_package:make"}})
    with pytest.raises(ArgumentError, match=rf"'bad' .* of bad_package.*{said}"):
        resolve("bad")
    assert resolve("amino_acid")  # and others do not mind


def test_names_that_are_taken(site):
    points = {"provis_fast.properties": {"twice": "one_package:make", "amino_acid": "a:b"}}
    install(site, "one_package", "", points)
    install(site, "two_package", "", {"provis_fast.properties": {"twice": "two_package:make"}})
    with pytest.raises(ArgumentError, match=r"'twice' is announced by \w+_package and \w+_package"):
        resolve("twice")
    with pytest.raises(ArgumentError, match=r"'amino_acid' is one of provis_fast's own.*one_pack"):
        list(REGISTRY)
    assert type(resolve("amino_acid")[0]).__module__ == "provis_fast.properties.amino_acid"


def test_an_unknown_name_lists_what_there_is(site):
    with pytest.raises(ArgumentError, match=r"expected one of amino_acid, .*got 'contacts'.*mean"):
        resolve("contacts")
    assert REGISTRY.get("contacts") is None and len(REGISTRY) == len(list(REGISTRY))


def test_a_bad_format_names_its_package(site):
    points = {"provis_fast.formats": {"bad": "bad_format:FORMAT"}}
    install(site, "bad_format", "FORMAT = 3", points)
    with pytest.raises(ArgumentError, match=r"'bad' .*of bad_format: expected"):
        formats.formats()
