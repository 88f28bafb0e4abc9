"""Timing on a GPU: functions called in turn, each with a cold second-level cache."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

#: Larger than the second-level cache of any GPU so far.
SCRUB_BYTES = 1 << 28
#: Clock cycles for which the GPU is kept busy before a timed call, about a millisecond: the host
#: hands over the call's kernels meanwhile, so that its own work does not count. It does count in
#: whole analyses, which are timed by the host's clock.
AHEAD_CYCLES = 2_000_000


class Setting(NamedTuple):
    """What a part of the benchmarks runs on, and how much of it."""

    device: str
    small: bool

    def synchronize(self) -> None:
        """Wait until everything that was handed to the device is done."""
        if self.device == "cuda":
            torch.cuda.synchronize()


class Timer:
    """Median milliseconds of functions that are called in turn, in an order drawn for each round.

    On a CPU, for trying the benchmarks out, it measures by the host's clock.
    """

    def __init__(self, setting: Setting, rounds: int):
        self._setting, self._rounds = setting, 2 if setting.small else rounds
        on_gpu = setting.device == "cuda"
        self._scrub = torch.empty(SCRUB_BYTES if on_gpu else 1, dtype=torch.int8).to(setting.device)

    def medians(
        self, functions: dict[str, Callable[[], object]]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Milliseconds by name, and reasons by name of those that raised and are left out.

        Raises
        ------
        RuntimeError
            If the device itself no longer works: then no number is to be trusted.
        """
        left_out: dict[str, str] = {}
        times: dict[str, list[float]] = {}
        for name, function in functions.items():
            try:
                for _ in range(1 if self._setting.small else 3):
                    function()
                self._setting.synchronize()
                times[name] = []
            except Exception as error:
                left_out[name] = reason(error)
                self._setting.synchronize()
        order, names = random.Random(0), list(times)
        for _ in range(self._rounds):
            order.shuffle(names)
            for name in names:
                times[name].append(self._once(functions[name]))
        return {name: statistics.median(values) for name, values in times.items()}, left_out

    def _once(self, function: Callable[[], object]) -> float:
        if self._setting.device != "cuda":
            began = time.perf_counter()
            function()
            return (time.perf_counter() - began) * 1e3
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._scrub.zero_()
        torch.cuda._sleep(AHEAD_CYCLES)
        begin.record()
        function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)


def reason(error: Exception) -> str:
    """The first line of an error, for the report."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"
