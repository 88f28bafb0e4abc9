"""Whole analyses of the bundled structures: ``pytest benchmarks/test_corpus.py``.

`corpus.py` times any model and corpus, interleaved, and prints the ratios.
"""

from __future__ import annotations

import contenders
import pytest

import provis_fast as pf
from provis_fast.proteins import demo_set

PROPERTIES = ("amino_acid", "secondary_structure", "contact")


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("antiberty", reason='needs pip install "provis_fast[demo]"')
    return pf.load_model("antiberty")


@pytest.fixture(scope="module")
def proteins():
    return list(demo_set("immunoglobulin"))


def test_analysis(benchmark, model, proteins):
    benchmark(lambda: pf.analyze(model, proteins, PROPERTIES))


def test_plain_forward(benchmark, model, proteins):
    benchmark(contenders.plain_forward(model, proteins, 0))


def test_eager_statistics(benchmark, model, proteins):
    benchmark(contenders.eager_statistics(model, proteins, PROPERTIES))
