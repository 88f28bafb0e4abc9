"""Checks of what the kernels are called with: errors that name the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor

from provis_fast.errors import ArgumentError
from provis_fast.kernel_data import (
    KIND,
    MAX_VALUE,
    MAX_VALUE_SUM,
    VALUE_FIXED_POINT,
    Accumulators,
    PropertyBatch,
)
from provis_fast.totals import WEIGHTINGS

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
MAX_HEAD_SIZE = 256
#: Keys with this or less in an additive mask are forbidden. Padding is often marked by the least
#: number of a dtype instead of -inf, and that overflows as soon as it is multiplied.
FORBIDDEN = -1e30
NO_PROPERTIES = PropertyBatch.empty()
# Where the row of a property of each kind stands.
_ROWS_OF = {
    KIND["key_class"]: "labels",
    KIND["query_class"]: "labels",
    KIND["class_pair"]: "labels",
    KIND["key_value"]: "values",
    KIND["pair"]: "pair_offsets",
}
# arc_counts, mass, received, entropy, arc_index, arc_weight, arc_total, flags
_ACCUMULATOR_DTYPES = (
    *[(torch.int64,)] * 4,
    (torch.int32,),
    (torch.float32,),
    (torch.int64,),
    (torch.int32,),
)


def check_thresholds(thresholds: Sequence[float] | float) -> tuple[float, ...]:
    """A threshold, or several, as a tuple of floats in (0, 1]; ArgumentError otherwise."""
    try:
        single = isinstance(thresholds, (Real, str))
        given = (thresholds,) if single else tuple(thresholds)
    except TypeError:
        given = (thresholds,)
    for theta in given:
        if not (_is_real(theta) and 0.0 < theta <= 1.0):
            raise ArgumentError(
                f"threshold: expected a number greater than 0 and at most 1, got {theta!r}; "
                "the paper uses 0.3"
            )
    return tuple(float(theta) for theta in given)


def check_scale(scale: float | None, head_size: int) -> float:
    """The factor of the scores, by default head_size ** -0.5; ArgumentError unless positive."""
    if scale is None:
        return head_size**-0.5
    if not (_is_real(scale) and 0.0 < scale < math.inf):
        raise ArgumentError(f"scale: expected a positive number, got {scale!r}")
    return float(scale)


def check_integer(name: str, number: int, least: int, most: int | None = None) -> int:
    """An argument as an int; ArgumentError unless it is an integer from `least` to `most`."""
    try:
        value = least - 1 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        value = least - 1
    if value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ArgumentError(f"{name}: expected an integer {limits}, got {number!r}")
    return value


def check_seconds(name: str, number: float) -> float:
    """An argument as a time; ArgumentError unless it is a number from 0 on."""
    if not _is_real(number) or not 0 <= number < math.inf:
        raise ArgumentError(f"{name}: expected a number of seconds from 0 on, got {number!r}")
    return float(number)


def check_weighting(weighting: str) -> None:
    """ArgumentError unless it is one of `WEIGHTINGS`."""
    if weighting not in WEIGHTINGS:
        raise ArgumentError(f"weighting: expected one of {WEIGHTINGS}, got {weighting!r}")


def _is_real(number: object) -> bool:
    # NumPy's scalars are Real, and so is bool, which nobody means as a number.
    return type(number) is float or (isinstance(number, Real) and not isinstance(number, bool))


def check_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    cu_seqlens: Tensor | None,
    key_mask: Tensor | None,
    residues: Tensor | None,
    relative_bias: Tensor | None,
) -> tuple[int, int, int, int]:
    """Check the tensors of a call; return (sequences, tokens, heads, head size)."""
    if not isinstance(query, Tensor) or query.dtype not in _DTYPES:
        got = query.dtype if isinstance(query, Tensor) else type(query).__name__
        raise ArgumentError(f"query: expected one of {_names(_DTYPES)}, got {got}")
    packed = cu_seqlens is not None
    expected = "[T, H, D] with cu_seqlens" if packed else "[B, H, L, D] without cu_seqlens"
    if query.dim() != (3 if packed else 4):
        raise ArgumentError(f"query: expected {expected}, got shape {list(query.shape)}")
    _check_tensor("key", key, tuple(query.shape), (query.dtype,), query.device)
    if value is not None:
        _check_tensor("value", value, tuple(query.shape), (query.dtype,), query.device)
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor is not None:
            _check_last_stride(name, tensor)
    head_size = query.shape[-1]
    if not 1 <= head_size <= MAX_HEAD_SIZE:
        raise ArgumentError(f"query: expected a head size of 1..{MAX_HEAD_SIZE}, got {head_size}")
    if packed:
        tokens, heads = query.shape[0], query.shape[1]
        _check_tensor("cu_seqlens", cu_seqlens, (None,), (torch.int32,), query.device)
        sequences = cu_seqlens.shape[0] - 1
        shape: tuple[int, ...] = (tokens,)
        if sequences < 0:
            raise ArgumentError("cu_seqlens: expected at least the element 0, got none")
    else:
        sequences, heads, length = query.shape[0], query.shape[1], query.shape[2]
        tokens = sequences * length
        shape = (sequences, length)
    if key_mask is not None:
        _check_tensor("key_mask", key_mask, shape, (torch.bool, *_DTYPES), query.device)
    if residues is not None:
        _check_tensor("residues", residues, shape, (torch.bool,), query.device)
    if relative_bias is not None:
        _check_tensor("relative_bias", relative_bias, (heads, None), (torch.float32,), query.device)
        if relative_bias.shape[1] % 2 == 0:
            raise ArgumentError(
                "relative_bias: expected [H, 2 R + 1] with R >= longest sequence - 1, got "
                f"{list(relative_bias.shape)}"
            )
    return sequences, tokens, heads, head_size


def check_positions(
    query: Tensor, position_query: Tensor | None, position_key: Tensor | None
) -> None:
    """Raise ArgumentError unless the terms of relative position fit a query that was checked.

    That `position_key` is long enough for the longest sequence is checked by who knows its length.
    """
    if position_query is None and position_key is None:
        return
    if position_query is None or position_key is None:
        missing = "position_query" if position_query is None else "position_key"
        raise ArgumentError(f"{missing}: expected position_query and position_key, or neither")
    heads = query.shape[-2] if query.dim() == 3 else query.shape[1]
    shapes = (("position_query", position_query, tuple(query.shape)),)
    shapes += (("position_key", position_key, (None, heads, query.shape[-1])),)
    for name, tensor, shape in shapes:
        _check_tensor(name, tensor, shape, (query.dtype,), query.device)
        _check_last_stride(name, tensor)
    if not position_key.shape[0]:
        raise ArgumentError(
            "position_key: expected [2 R + 1, H, D] with R >= longest sequence - 1, got no rows"
        )


def check_accumulators(
    accumulators: Accumulators,
    sequences: int,
    tokens: int,
    heads: int,
    n_thresholds: int,
    channels: int,
    device: torch.device,
) -> None:
    """Raise ArgumentError unless every accumulator fits the call."""
    room = 0 if accumulators.arc_index is None else accumulators.arc_index.shape[0]
    shapes = (
        (sequences, n_thresholds, heads, channels),
        (sequences, heads, channels),
        (heads, tokens),
        (sequences, heads),
        (room, 4),
        (room,),
        (1,),
        (sequences,),
    )
    for name, tensor, shape, dtype in zip(
        Accumulators._fields, accumulators, shapes, _ACCUMULATOR_DTYPES, strict=True
    ):
        if tensor is None:
            continue
        _check_tensor(name, tensor, shape, dtype, device)
        if not tensor.is_contiguous():
            raise ArgumentError(f"{name}: expected a contiguous tensor; pass one that is")
    if accumulators.flags is None and any(tensor is not None for tensor in accumulators):
        raise ArgumentError(
            f"flags: expected int32 [{sequences}] with every other accumulator, got None; they "
            "alone tell of rows that are left out because their scores are not finite"
        )
    lists = (accumulators.arc_index, accumulators.arc_weight, accumulators.arc_total)
    if any(t is not None for t in lists) and any(t is None for t in lists):
        raise ArgumentError("arc_index, arc_weight, arc_total: pass all three or none")
    if (
        accumulators.arc_counts is not None or accumulators.arc_index is not None
    ) and n_thresholds == 0:
        raise ArgumentError("thresholds: expected at least one threshold in (0, 1], got none")


def given_properties(properties: PropertyBatch | None, device: torch.device) -> PropertyBatch:
    """The properties of a call, by default none; ArgumentError where they are something else."""
    if properties is None:
        return NO_PROPERTIES if device.type == "cpu" else PropertyBatch.empty(device)
    if not isinstance(properties, PropertyBatch):
        raise ArgumentError(
            f"properties: expected a PropertyBatch or None, got {type(properties).__name__}"
        )
    return properties


def check_properties(
    properties: PropertyBatch, sequences: int, tokens: int, device: torch.device
) -> None:
    """Raise ArgumentError unless the properties fit `tokens` tokens of `sequences` sequences."""
    n = len(properties.kinds)
    if len(properties.rows) != n or len(properties.classes) != n:
        raise ArgumentError(
            "properties: kinds, rows and classes must have one entry per property, got "
            f"{n}, {len(properties.rows)} and {len(properties.classes)}"
        )
    sizes = {}
    for name, dtype, length in (
        ("labels", torch.int16, tokens),
        ("values", torch.int64, tokens),
        ("pair_offsets", torch.int64, sequences),
    ):
        tensor = getattr(properties, name)
        n_rows = tensor.shape[0] if isinstance(tensor, Tensor) and tensor.dim() == 2 else None
        shape = (n_rows, length) if n_rows != 0 else tensor.shape
        _check_tensor(f"properties.{name}", tensor, shape, (dtype,), device)
        sizes[name] = n_rows
    pairs = properties.pairs
    shape = pairs.shape if isinstance(pairs, Tensor) and pairs.dim() == 1 else (None,)
    _check_tensor("properties.pairs", pairs, shape, (torch.int32,), device)
    for kind, row, classes in zip(
        properties.kinds, properties.rows, properties.classes, strict=True
    ):
        if kind not in KIND.values():
            raise ArgumentError(f"properties.kinds: expected one of {KIND}, got {kind}")
        source = _ROWS_OF.get(kind)
        if source is not None and not 0 <= row < sizes[source]:
            raise ArgumentError(
                f"properties.rows: expected a row of properties.{source} (it has "
                f"{sizes[source]}), got {row}"
            )
        if (
            classes < 1
            or (kind == KIND["class_pair"] and math.isqrt(classes) ** 2 != classes)
            or (kind in (KIND["key_value"], KIND["pair"]) and classes != 1)
        ):
            raise ArgumentError(
                "properties.classes: expected a positive number of classes (a square for class "
                f"pairs, 1 for key values and pairs), got {classes}"
            )
        if kind == KIND["separation"] and (
            len(properties.bin_starts) != classes
            or properties.bin_starts[0] != 0
            or list(properties.bin_starts) != sorted(set(properties.bin_starts))
        ):
            raise ArgumentError(
                "properties.bin_starts: expected ascending starts from 0, one per bin "
                f"({classes}), got {properties.bin_starts}"
            )


def check_value_sums(
    properties: PropertyBatch,
    cu_seqlens: Tensor | None,
    key_mask: Tensor | None,
    residues: Tensor | None,
    sequences: int,
    tokens: int,
) -> None:
    """Raise ArgumentError if sums of key values may leave 64 bits.

    What is compiled or not on the CPU goes unchecked: looking at values would break the graph or
    wait for the device. `provis_fast.properties` checks the values of every protein.
    """
    if KIND["key_value"] not in properties.kinds or torch.compiler.is_compiling():
        return
    values = properties.values
    if not values.is_cpu or not values.numel():
        return
    magnitudes = values.abs()  # the unknown value stays negative: it has no counterpart in int64
    largest = int(magnitudes.amax())
    if largest > MAX_VALUE * VALUE_FIXED_POINT:
        raise ArgumentError(
            "properties.values: expected absolute values of at most 2**20 (in units of 2**-16: "
            f"2**36), got {largest / VALUE_FIXED_POINT:g}; rescale the property"
        )
    limit = MAX_VALUE_SUM * VALUE_FIXED_POINT
    if largest * tokens <= limit:
        return
    counted = torch.ones(tokens, dtype=torch.bool)
    for mask in (key_mask_parts(key_mask)[0], residues):
        if mask is not None:
            counted &= mask.reshape(tokens)
    bounds = (
        [s * (tokens // sequences) for s in range(sequences + 1)]
        if cu_seqlens is None
        else cu_seqlens.tolist()
    )
    for s, (begin, end) in enumerate(pairwise(bounds)):
        n, window = int(counted[begin:end].sum()), magnitudes[:, begin:end]
        if n and int(window.amax()) * n > limit:
            raise ArgumentError(
                f"properties.values: expected residues x largest absolute value of at most "
                f"{MAX_VALUE_SUM:,}, got {n} x {int(window.amax()) / VALUE_FIXED_POINT:g} in "
                f"sequence {s}; rescale the property"
            )


def key_mask_parts(key_mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """A key mask as (bool: may be attended, float32: added to the scores).

    Kernel and reference forbid the same keys: those at `FORBIDDEN` or less, or at the least number
    of a dtype that does not reach so far (float16).
    """
    if key_mask is None or key_mask.dtype == torch.bool:
        return key_mask, None
    if not torch.compiler.is_compiling() and bool(key_mask.isnan().any()):
        raise ArgumentError(
            "key_mask: expected numbers, or -inf for keys that may not be attended, got NaN"
        )
    least = max(FORBIDDEN, torch.finfo(key_mask.dtype).min)
    return key_mask > least, key_mask.float()


def _check_last_stride(name: str, tensor: Tensor) -> None:
    if tensor.stride(-1) != 1 and tensor.shape[-1] > 1:
        raise ArgumentError(
            f"{name}: expected a last dimension with stride 1, got strides "
            f"{list(tensor.stride())}; call .contiguous()"
        )


def _check_tensor(
    name: str,
    tensor: Tensor,
    shape: tuple[int | None, ...],
    dtypes: tuple[torch.dtype, ...],
    device: torch.device,
) -> None:
    if (  # the usual case first: checks are a good part of a short call
        isinstance(tensor, Tensor)
        and tensor.shape == shape
        and tensor.dtype in dtypes
        and tensor.device == device
    ):
        return
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    fits = tensor.dim() == len(shape) and all(
        want is None or got == want for got, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ArgumentError(f"{name}: expected shape [{wanted}], got {list(tensor.shape)}")
    if tensor.dtype not in dtypes:
        raise ArgumentError(f"{name}: expected {_names(dtypes)}, got {_names([tensor.dtype])}")
    if tensor.device != device:
        raise ArgumentError(
            f"{name}: expected device {device} like the query, got {tensor.device}; move it there"
        )


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
