// A call of the fused kernel: that of the two-pass kernel, and what attention itself needs.
#pragma once

#include "core/two_pass_call.h"

namespace provis {

struct FusedCall : TwoPassCall {
  TensorView value, output;
  int value_vectors, output_vectors;  // rows can be moved 16 bytes at a time
  float* new_lse;     // [heads, tokens], or [sequences, heads, length] batched; may be null
  int list_capacity;  // candidates of a row; 0: arcs are not asked for
};

static_assert(sizeof(FusedCall) <= 4096, "the parameters of a kernel");

}  // namespace provis
