"""Registers the compiled kernels as torch custom operators.

Torch is imported before the extension: both use OpenMP, and then only torch's runtime is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from provis_fast import gpu_paths
from provis_fast.errors import ArgumentError, ProvisError
from provis_fast.vendor_attention import attention_and_lse
from provis_fast.versions import how_to_load

try:
    from provis_fast import _C
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ProvisError(
        f"the compiled part of provis_fast cannot be loaded ({error}); {how_to_load()}"
    ) from error

#: Whether the extension has kernels for GPUs.
CUDA_BUILT = bool(_C.build_info()["cuda"])
#: What the kernel that fuses attention and statistics takes; None where there is none.
FUSED = gpu_paths.Limits.of(_C.fused_limits()) if CUDA_BUILT else None

_LIBRARY = torch.library.Library("provis_fast", "DEF")
_LIBRARY.define(
    "attention_statistics_("
    "Tensor query, Tensor key, Tensor? value, Tensor? cu_seqlens, Tensor? allowed, "
    "Tensor? additive, Tensor? residues, Tensor? relative_bias, Tensor? position_query, "
    "Tensor? position_key, "
    "int[] kinds, int[] rows, int[] classes, Tensor labels, Tensor values, Tensor pairs, "
    "Tensor pair_offsets, int[] bin_starts, float[] thresholds, float scale, int window, "
    "Tensor(a!)? arc_counts, Tensor(b!)? mass, Tensor(c!)? received, Tensor(d!)? entropy, "
    "Tensor(e!)? arc_index, Tensor(f!)? arc_weight, Tensor(g!)? arc_total, Tensor(h!)? flags, "
    "bool return_lse, int max_length, int num_threads) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


# Numbers of `DType` in csrc/include/provis/attention_statistics.h.
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}


def _refuse_gradients(*inputs: Tensor | None) -> None:
    # There is no backward pass, and autograd's own fallback would skip attention with no more than
    # a warning. An autograd kernel would cost a short call a quarter of its time.
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        raise ArgumentError(
            "query, key, value, key_mask, relative_bias, position_query, position_key: expected "
            "tensors that do not require grad, because attention_statistics has no backward pass; "
            "call it under torch.no_grad(), or detach its inputs"
        )


def _new_output(query: Tensor, packed: bool, wanted: bool) -> Tensor:
    if not wanted:
        return query.new_empty((0,))
    if packed:
        return query.new_empty(query.shape)
    _, heads, length, size = query.shape
    strides = (length * heads * size, size, heads * size, 1)  # storage of [B, L, H, D]
    return query.new_empty_strided(query.shape, strides)


def _new_lse(query: Tensor, packed: bool, wanted: bool) -> Tensor:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    if not wanted:
        return query.new_empty((0,), dtype=dtype)
    shape = (query.shape[1], query.shape[0]) if packed else query.shape[:3]
    return query.new_empty(shape, dtype=dtype)


class _Call(NamedTuple):
    """Arguments of the operator, as its schema has them."""

    query: Tensor
    key: Tensor
    value: Tensor | None
    cu_seqlens: Tensor | None
    allowed: Tensor | None
    additive: Tensor | None
    residues: Tensor | None
    relative_bias: Tensor | None
    position_query: Tensor | None
    position_key: Tensor | None
    kinds: list[int]
    rows: list[int]
    classes: list[int]
    labels: Tensor
    values: Tensor
    pairs: Tensor
    pair_offsets: Tensor
    bin_starts: list[int]
    thresholds: list[float]
    scale: float
    window: int
    arc_counts: Tensor | None
    mass: Tensor | None
    received: Tensor | None
    entropy: Tensor | None
    arc_index: Tensor | None
    arc_weight: Tensor | None
    arc_total: Tensor | None
    flags: Tensor | None
    return_lse: bool
    max_length: int
    num_threads: int

    @property
    def packed(self) -> bool:
        return self.cu_seqlens is not None

    @property
    def differentiable(self) -> tuple[Tensor | None, ...]:
        return (
            self.query,
            self.key,
            self.value,
            self.additive,
            self.relative_bias,
            self.position_query,
            self.position_key,
        )

    @property
    def counts_something(self) -> bool:
        wanted = (self.arc_counts, self.mass, self.received, self.entropy, self.arc_index)
        return any(t is not None for t in wanted)

    def shape_on_gpu(self) -> gpu_paths.Shape:
        """What decides how a GPU serves the call."""
        weighed = (self.mass, self.received, self.entropy)
        counted = "threshold" if self.counts_something else "none"
        longest = self.max_length if self.packed else self.query.shape[2]
        return gpu_paths.Shape(
            self.query.dtype,
            self.query.shape[-1],
            bool(self.window)
            or any(t is not None for t in (self.allowed, self.additive, self.relative_bias)),
            "all" if any(t is not None for t in weighed) else counted,
            min(self.thresholds, default=1.0),
            len(self.thresholds),
            len(self.kinds),
            longest,
            # The longest of S sequences is no shorter than T / S, and as long only if all are.
            not self.packed or longest * (len(self.cu_seqlens) - 1) == self.query.shape[0],
        )

    def without_statistics(self) -> _Call:
        """Attention alone."""
        return self._replace(
            residues=None,
            kinds=[],
            rows=[],
            classes=[],
            bin_starts=[],
            thresholds=[],
            arc_counts=None,
            mass=None,
            received=None,
            entropy=None,
            arc_index=None,
            arc_weight=None,
            arc_total=None,
            flags=None,
        )

    def run(
        self,
        function: Callable[..., None],
        value: Tensor | None,
        output: Tensor | None,
        lse: Tensor | None,
        /,  # the second pass has an option `lse`, an address
        **options: object,
    ) -> None:
        """Call a function of the extension, which sees addresses only."""
        # Contiguous copies must outlive the call.
        given = [
            t if t is None else t.contiguous()
            for t in (
                self.cu_seqlens,
                self.allowed,
                self.additive,
                self.residues,
                self.relative_bias,
                self.labels,
                self.values,
                self.pairs,
                self.pair_offsets,
            )
        ]
        strided = (self.query, self.key, value, output, self.position_query, self.position_key)
        # In the order of `Slot` in csrc/bindings.cpp.
        tensors = (
            *strided[:4],
            lse,
            *given[:5],
            *strided[4:],
            *given[5:],
            self.arc_counts,
            self.mass,
            self.received,
            self.entropy,
            self.arc_index,
            self.arc_weight,
            self.arc_total,
            self.flags,
        )
        sequences = len(self.cu_seqlens) - 1 if self.packed else self.query.shape[0]
        try:
            function(
                _DTYPES[self.query.dtype],
                self.query.shape,
                [() if t is None else t.stride() for t in strided],
                [0 if t is None else t.data_ptr() for t in tensors],
                sequences,
                0 if self.relative_bias is None else self.relative_bias.shape[1],
                0 if self.position_key is None else self.position_key.shape[0],
                self.window,
                self.scale,
                self.kinds,
                self.rows,
                self.classes,
                self.pairs.numel(),
                self.bin_starts,
                self.thresholds,
                0 if self.arc_index is None else self.arc_index.shape[0],
                **options,
            )
        except ValueError as error:
            raise ArgumentError(str(error)) from None


def _attention_statistics_cpu(*arguments: object) -> tuple[Tensor, Tensor]:
    call = _Call(*arguments)
    _refuse_gradients(*call.differentiable)
    output = _new_output(call.query, call.packed, call.value is not None)
    lse = _new_lse(call.query, call.packed, call.return_lse)
    call.run(
        _C.attention_statistics,
        call.value,
        None if call.value is None else output,
        lse if call.return_lse else None,
        num_threads=call.num_threads or torch.get_num_threads(),
    )
    return output, lse


def _attention_statistics_cuda(*arguments: object) -> tuple[Tensor, Tensor]:
    """One pass or two, as `provis_fast.gpu_paths` decides."""
    call = _Call(*arguments)
    _refuse_gradients(*call.differentiable)
    if call.query.dtype == torch.float64:
        raise ArgumentError(
            "query: expected float32, bfloat16 or float16 on a GPU, got float64; move it to the "
            "CPU, or convert it"
        )
    if call.position_query is not None:
        raise ArgumentError(
            "position_query, position_key: terms of relative position are not supported on a GPU "
            "yet; compute on the CPU"
        )
    with torch.cuda.device(call.query.device):
        path = gpu_paths.path_of(call.shape_on_gpu(), call.query.device, FUSED)
        return _run_on_gpu(call, path, torch.cuda.current_stream().cuda_stream)


def _run_on_gpu(call: _Call, path: gpu_paths.Path, stream: int) -> tuple[Tensor, Tensor]:
    """Launch everything that a call needs on a stream of the current device; wait for nothing."""
    if path.attention == "fused":
        # The kernel always computes an output; where none is wanted it goes nowhere.
        output = _new_output(call.query, call.packed, True)
        lse = _new_lse(call.query, call.packed, path.second_pass or call.return_lse)
        (call.without_statistics() if path.second_pass else call).run(
            _C.attention_fused_cuda,
            call.key if call.value is None else call.value,
            output,
            lse if lse.numel() else None,
            stream=stream,
        )
        if call.value is None:
            output = _new_output(call.query, call.packed, False)
        returned = lse if call.return_lse else _new_lse(call.query, call.packed, False)
    else:
        found, lse = attention_and_lse(
            call.query,
            call.key,
            call.value,
            scale=call.scale,
            cu_seqlens=call.cu_seqlens,
            longest=call.max_length,
            allowed=call.allowed,
            additive=call.additive,
            relative_bias=call.relative_bias,
            window=call.window,
            backend=path.attention,
        )
        output = _as_declared(found, _new_output(call.query, call.packed, call.value is not None))
        declared = _new_lse(call.query, call.packed, call.return_lse)
        returned = _as_declared(lse if call.return_lse else None, declared)
    if path.second_pass:
        call.run(
            _C.attention_statistics_cuda,
            None,
            None,
            None,
            stream=stream,
            lse=lse.data_ptr(),
            lse_strides=[0, *lse.stride()] if call.packed else list(lse.stride()),
        )
    return output, returned


def _as_declared(found: Tensor | None, declared: Tensor) -> Tensor:
    """What a vendor's kernel returned, in the layout that the operator's fake promises."""
    if found is None:
        return declared
    if found.shape == declared.shape and found.stride() == declared.stride():
        return found
    return declared.copy_(found)


def _no_kernel_for_cuda(query: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    raise ArgumentError(
        f"query: expected a tensor on the CPU, for which alone this installation has kernels, got "
        f"one on {query.device}; move the tensors (or the model) to the CPU"
    )


_LIBRARY.impl("attention_statistics_", _attention_statistics_cpu, "CPU")
_LIBRARY.impl(
    "attention_statistics_",
    _attention_statistics_cuda if CUDA_BUILT else _no_kernel_for_cuda,
    "CUDA",
)


@torch.library.register_fake("provis_fast::attention_statistics_", lib=_LIBRARY)
def _attention_statistics_fake(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    cu_seqlens: Tensor | None,
    allowed: Tensor | None,
    additive: Tensor | None,
    residues: Tensor | None,
    relative_bias: Tensor | None,
    position_query: Tensor | None,
    position_key: Tensor | None,
    *rest: object,
) -> tuple[Tensor, Tensor]:
    _refuse_gradients(query, key, value, additive, relative_bias, position_query, position_key)
    packed, return_lse = cu_seqlens is not None, bool(rest[-3])
    return _new_output(query, packed, value is not None), _new_lse(query, packed, return_lse)
