// The statistics of attention_statistics.h on an NVIDIA GPU (compute capability 8.0 and later).
//
// There are two ways. Two passes: the vendor's attention has computed the output and the
// log-sum-exp of every row; our kernel multiplies queries by keys again, on the tensor cores, and
// with the log-sum-exp known each attention weight is final as soon as its score is. Or one:
// attention of our own, which finds arcs on its way. This header needs neither torch nor those of
// CUDA.
#pragma once

#include <cstdint>

#include "provis/attention_statistics.h"

namespace provis {

// Where a call runs, and what is known already: the log-sum-exp (natural log) of every row over
// all keys that it may attend to. The element of (sequence s, head h, token t of the sequence):
//   batched  lse[s * lse_batch_stride + h * lse_head_stride + t * lse_token_stride]
//   packed   lse[h * lse_head_stride + (cu_seqlens[s] + t) * lse_token_stride]
struct CudaLaunch {
  void* stream = nullptr;  // cudaStream_t
  const float* lse = nullptr;
  int64_t lse_batch_stride = 0;
  int64_t lse_head_stride = 0;
  int64_t lse_token_stride = 0;
};

// Adds the statistics of one attention layer into accumulators in device memory.
//
// Every pointer of `call` points to memory of the current device, but thresholds, bin_starts and
// the array `properties` itself (whose tables are on the device). call.value and call.output must
// be null: no output is computed; so must position_query and position_key, which only the CPU
// serves yet. call.lse and call.num_threads are ignored. Inputs are float32 (multiplied in float32,
// never TF32), bfloat16 or float16 (products summed in float32).
//
// Nothing is allocated and nothing waits for the device: the call returns after the launch, on the
// given stream, and can be captured in a graph (after a first call outside of one: CUDA loads a
// kernel when it is first launched). Results are the same bits from run to run; the list
// of arcs has no particular order.
//
// A pair is an arc where scale * q . k + biases - lse >= log(threshold) in float32, with a single
// rounding where there is no bias. A row with a log-sum-exp of -inf attends to nothing; NaN or +inf
// there, or a NaN score, raises kNotFinite for the sequence if the query is allowed. The host
// cannot see what stands in device memory: cu_seqlens has to ascend from 0 to `tokens`; where
// pair_offsets leave `pairs`, or a packed sequence is longer than relative_bias reaches, kNotFinite
// is raised too and nothing is read from outside.
//
// Throws std::invalid_argument where the call does not fit, and std::runtime_error with CUDA's
// message where the launch fails.
void attention_statistics_cuda(const AttentionCall& call, const CudaLaunch& launch);

// What attention_fused_cuda takes; beyond that it throws, and the two-pass kernel serves.
struct FusedLimits {
  int head_size;
  int candidates;  // floor((1 + 1e-4) / least threshold), where arcs are asked for
  int thresholds;
  int properties;
};
FusedLimits fused_limits();

// Attention and, where arcs are asked for, their statistics, in a single pass over the keys.
//
// As above, but call.output and, unless it is null, call.lse are written (float32, contiguous; rows
// that attend to nothing get an output of 0 and a log-sum-exp of -inf), call.mass, call.received
// and call.entropy must be null, and inputs are bfloat16 or float16. Every query gets an output;
// those that are not allowed raise no flag. Where a table does not fit, output and log-sum-exp are
// NaN. The terms of the softmax are rounded to the inputs' type before they are multiplied with the
// values, and the output is at the end.
void attention_fused_cuda(const AttentionCall& call, void* stream);

}  // namespace provis
