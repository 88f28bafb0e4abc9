"""The kernel beside torch's attention, timed alternately so that both see the same machine.

`provis-fast benchmark` prints the table of `kernel_table`; `benchmarks/` runs the same cases under
pytest-benchmark.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from provis_fast import ops
from provis_fast.kernel_data import KIND, PropertyBatch

HEADS = 16
BIN_STARTS = (0, 1, 2, 3, 4, 5, 6, 12, 24)


class Case(NamedTuple):
    """One shape: batch 1, `HEADS` heads."""

    head_size: int
    length: int
    dtype: torch.dtype
    threads: int

    @property
    def name(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        return f"d{self.head_size}-L{self.length}-{kind}-{self.threads}t"


def cases(
    head_sizes: Iterable[int] = (16, 32, 64, 128),
    lengths: Iterable[int] = (128, 512, 1024, 2048),
    dtypes: Iterable[torch.dtype] = (torch.float32, torch.bfloat16),
    threads: Iterable[int] = (1, 2),
) -> list[Case]:
    """Every combination of the given sizes."""
    return [
        Case(d, n, dtype, t)
        for t in threads
        for dtype in dtypes
        for d in head_sizes
        for n in lengths
    ]


def properties(length: int, kinds: str) -> PropertyBatch:
    """Properties of one sequence: "key_class" (20 classes), or "all" (contacts and bins too)."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 20, (1, length), generator=generator, dtype=torch.int16)
    if kinds == "key_class":
        return PropertyBatch.empty()._replace(kinds=(0,), rows=(0,), classes=(20,), labels=labels)
    words = (length + 31) // 32
    far = torch.arange(length)
    valid = (far[:, None] - far[None, :]).abs() >= 6
    contact = valid & (torch.rand(length, length, generator=generator) < 0.03)
    padded = torch.zeros(2, length, words * 32, dtype=torch.bool)
    padded[0, :, :length], padded[1, :, :length] = contact, valid
    weights = torch.tensor([1 << b if b < 31 else -(1 << 31) for b in range(32)])
    bitmaps = (padded.reshape(2, length, words, 32) * weights).sum(-1).to(torch.int32)
    return PropertyBatch(
        kinds=(KIND["key_class"], KIND["pair"], KIND["separation"]),
        rows=(0, 0, 0),
        classes=(20, 1, len(BIN_STARTS)),
        labels=labels,
        values=torch.empty((0, length), dtype=torch.int64),
        pairs=bitmaps.reshape(-1),
        pair_offsets=torch.zeros((1, 1), dtype=torch.int64),
        bin_starts=BIN_STARTS,
    )


def inputs(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Random normal query, key and value [1, H, L, D], strided as a projection leaves them."""
    generator = torch.Generator().manual_seed(0)

    def one() -> Tensor:
        shape = (1, case.length, HEADS, case.head_size)
        return torch.randn(shape, generator=generator).to(case.dtype).transpose(1, 2)

    return one(), one(), one()


def contenders(case: Case) -> dict[str, Callable[[], object]]:
    """What is timed: torch's attention alone, and the kernel with ever more statistics.

    "eager" computes the matrix, then threshold counts for 20 classes from it, vectorised.
    """
    q, k, v = inputs(case)
    one, everything = properties(case.length, "key_class"), properties(case.length, "all")
    one_hot = F.one_hot(one.labels[0].long(), 20).to(case.dtype)

    def kernel(
        properties: PropertyBatch | None = None,
        thresholds: tuple[float, ...] = (),
        mass: bool = False,
    ) -> Callable[[], object]:
        # As the engine calls it: into accumulators that outlive the call.
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64)

        channels = 1 if properties is None else properties.channels
        accumulators = dict(
            arc_counts=zeros(1, len(thresholds), HEADS, channels) if thresholds else None,
            mass=zeros(1, HEADS, channels) if mass else None,
            entropy=zeros(1, HEADS) if mass else None,
            flags=torch.zeros(1, dtype=torch.int32),
        )
        return lambda: ops.attention_statistics_(
            q, k, v, properties=properties, thresholds=thresholds, **accumulators
        )

    def eager() -> object:
        a = torch.softmax((q @ k.transpose(-1, -2)).float() * case.head_size**-0.5, -1)
        arcs = (a >= 0.3).to(case.dtype)
        return a.to(case.dtype) @ v, arcs.sum((-1, -2)), (arcs @ one_hot).sum(-2)

    return {
        "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),
        "eager": eager,
        "none": kernel(),
        "threshold": kernel(one, (0.3,)),
        "all": kernel(everything, (0.3,), mass=True),
    }


def interleaved(
    functions: dict[str, Callable[[], object]], seconds: float = 1.0, least: int = 5
) -> dict[str, float]:
    """Median seconds of each function, called in turn until `seconds` have passed.

    The order is drawn anew for each round, so that none always finds the caches as the same
    neighbour left them.
    """
    names, order = list(functions), random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    started = time.perf_counter()
    while len(times[next(iter(times))]) < least or time.perf_counter() - started < seconds:
        order.shuffle(names)
        for name in names:
            begin = time.perf_counter()
            functions[name]()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def kernel_table(which: Iterable[Case], seconds: float = 1.0) -> Iterator[dict[str, object]]:
    """One row per case: milliseconds of torch's attention, and the others as ratios to it."""
    before = torch.get_num_threads()
    try:
        for case in which:
            torch.set_num_threads(case.threads)
            median = interleaved(contenders(case), seconds)
            row: dict[str, object] = {"case": case.name, "sdpa_ms": median["sdpa"] * 1e3}
            for name in ("eager", "none", "threshold", "all"):
                row[name] = median[name] / median["sdpa"]
            yield row
    finally:
        torch.set_num_threads(before)
