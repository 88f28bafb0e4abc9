"""The kernel beside torch's attention: ``pytest benchmarks/test_kernel.py``."""

from __future__ import annotations

import pytest
import torch

from provis_fast.benchmark import cases, contenders

NAMES = ("sdpa", "eager", "none", "threshold", "all")


@pytest.fixture(params=cases(), ids=lambda case: case.name)
def case(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param.threads)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_attention(benchmark, case, name):
    benchmark.group = case.name
    benchmark(contenders(case)[name])
