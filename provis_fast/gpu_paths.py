"""Which way a call goes on a GPU.

Attention is computed by one of five ways, of which only "fused" counts anything itself; where it
does not, a second pass multiplies queries by keys again and counts (csrc/cuda/two_pass_kernel.h).

===========  =====================================================================================
"fused"      our own kernel: bfloat16, float16, heads of 128 at most, every mask and bias; counts
             arcs, unless their list of candidates is too long, and weighs nothing
"flash"      torch's flash attention: 16 bits, no mask
"cudnn"      cuDNN's: 16 bits, no mask, sequences of one length, heads of 128 at most
"efficient"  torch's memory-efficient attention: float32, no mask
"blockwise"  plain PyTorch: everything, slowly
===========  =====================================================================================

What cannot be had otherwise goes "blockwise" (masks in float32, or with larger heads); masks in 16
bits go "fused". Unmasked calls in 16 bits go the fastest way that was measured on such a GPU
(`provis_fast.gpu_table`), without a measurement "flash". ``PROVIS_FAST_GPU_ATTENTION`` names
flash, cudnn or fused instead, for every call that it can serve.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch

from provis_fast.errors import ArgumentError
from provis_fast.gpu_table import PATHS, Row, nearest, packaged_table

logger = logging.getLogger(__name__)

#: Environment variable that names the way of every call that it can serve.
VARIABLE = "PROVIS_FAST_GPU_ATTENTION"
# Torch refuses larger heads on some GPUs, and a single query; both are rare enough to go elsewhere.
_CUDNN_HEAD_SIZE = 128
_CUDNN_LENGTH = 2
_HALVES = (torch.bfloat16, torch.float16)


class Limits(NamedTuple):
    """What the fused kernel takes; `_C.fused_limits` tells."""

    max_head_size: int
    max_candidates: int
    max_thresholds: int
    max_properties: int
    dtypes: tuple[int, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Limits:
        """From the dictionary that the extension returns."""
        return cls(**{**told, "dtypes": tuple(told["dtypes"])})


class Shape(NamedTuple):
    """What decides about a call.

    Attributes
    ----------
    dtype : torch.dtype
    head_size : int
    masked : bool
        A key mask, a relative bias or a window is given.
    statistics : {"none", "threshold", "all"}
        Nothing is counted; arcs alone; anything weighed by attention.
    smallest_threshold : float
        1 where there is none.
    n_thresholds, n_properties : int
    longest : int
        Tokens of the longest sequence; 0 where not known.
    uniform : bool
        All sequences are known to have `longest` tokens.
    """

    dtype: torch.dtype
    head_size: int
    masked: bool
    statistics: str
    smallest_threshold: float
    n_thresholds: int
    n_properties: int
    longest: int
    uniform: bool


class Path(NamedTuple):
    """How a call is served.

    Attributes
    ----------
    attention : {"fused", "flash", "cudnn", "efficient", "blockwise"}
    second_pass : bool
        Statistics are counted by a second pass, which needs the log-sum-exp of the first.
    """

    attention: str
    second_pass: bool


def candidates(threshold: float) -> int:
    """Keys of one row that may reach a threshold, as the kernels reckon.

    Examples
    --------
    >>> candidates(0.3), candidates(0.1)
    (3, 10)
    """
    return int((1.0 + 1e-4) / threshold)


def can_serve(path: str, shape: Shape, limits: Limits | None) -> bool:
    """Whether one of `PATHS` can compute the attention of a call, with or without statistics."""
    if shape.dtype not in _HALVES:
        return False
    if path == "fused":
        return limits is not None and shape.head_size <= limits.max_head_size
    if shape.masked:
        return False
    if path == "cudnn":
        return (
            shape.uniform and shape.head_size <= _CUDNN_HEAD_SIZE and shape.longest >= _CUDNN_LENGTH
        )
    return path == "flash"


def fused_counts(shape: Shape, limits: Limits) -> bool:
    """Whether the fused kernel can count what a call asks for."""
    return (
        shape.statistics == "threshold"
        and candidates(shape.smallest_threshold) <= limits.max_candidates
        and shape.n_thresholds <= limits.max_thresholds
        and shape.n_properties <= limits.max_properties
    )


def choose(
    shape: Shape,
    capability: tuple[int, int],
    limits: Limits | None,
    table: tuple[Row, ...] = (),
    forced: str | None = None,
) -> Path:
    """The way of a call.

    Parameters
    ----------
    shape : Shape
    capability : (int, int)
        Compute capability of the GPU.
    limits : Limits or None
        None: there is no fused kernel.
    table : tuple of Row
        Measured times.
    forced : {"flash", "cudnn", "fused"}, optional
        Taken where it can serve the call.
    """
    able = [path for path in PATHS if can_serve(path, shape, limits)]
    if forced in able:
        attention = forced
    elif shape.masked or not able:
        unmasked32 = shape.dtype == torch.float32 and not shape.masked
        attention = able[0] if able else "efficient" if unmasked32 else "blockwise"
    else:
        attention = _fastest(shape, capability, able, table) or "flash"
    counted = attention == "fused" and fused_counts(shape, limits)
    return Path(attention, shape.statistics != "none" and not counted)


def _fastest(
    shape: Shape, capability: tuple[int, int], able: list[str], table: tuple[Row, ...]
) -> str | None:
    name = str(shape.dtype).removeprefix("torch.")
    row = nearest(table, capability, name, shape.head_size, shape.longest, shape.statistics)
    times = {} if row is None else {path: ms for path, ms in row.ms if path in able}
    return min(times, key=times.__getitem__, default=None)


def forced_path() -> str | None:
    """The way that the environment names; ArgumentError where it is not one of `PATHS`."""
    named = os.environ.get(VARIABLE) or None
    if named is not None and named not in PATHS:
        raise ArgumentError(
            f"{VARIABLE}: expected one of {', '.join(PATHS)}, got {named!r}; set one of these, or "
            "unset it"
        )
    return named


def path_of(shape: Shape, device: torch.device, limits: Limits | None) -> Path:
    """The way of a call on this machine.

    Raises
    ------
    ArgumentError
        ``PROVIS_FAST_GPU_ATTENTION`` is set to something else than flash, cudnn or fused.
    TableError
        The package's table of measured times is damaged.
    """
    return _remembered(shape, _capability(device), limits, forced_path())


@lru_cache(maxsize=4096)
def _remembered(
    shape: Shape, capability: tuple[int, int], limits: Limits | None, forced: str | None
) -> Path:
    if forced is not None and not can_serve(forced, shape, limits):
        _tell_once(forced)
    return choose(shape, capability, limits, packaged_table(), forced)


@cache
def _tell_once(forced: str) -> None:
    logger.warning(
        "%s=%s cannot serve every call of this run (its dtype, head size, mask, or sequences of "
        "different lengths); these calls go another way",
        VARIABLE,
        forced,
    )


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
