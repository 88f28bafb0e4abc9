// From a call to the launches that serve it. Plain C++: no CUDA headers, tested on the host.
#pragma once

#include <vector>

#include "core/fused_call.h"
#include "provis/attention_statistics_cuda.h"

namespace provis::cuda {

// Every GPU from compute capability 8.0 gives a block 99 KiB, of which a launch takes up to 96;
// what is beyond 48 has to be asked for.
constexpr int64_t kMaxSharedBytes = 98304;
constexpr int64_t kSharedBytesForAsking = 49152;

struct Launch {
  FusedCall call;        // the two-pass kernel takes the part that it shares
  bool fused;            // else two-pass
  bool weighted;         // two-pass: else arcs alone, without exponentials
  int depth;             // of the kernel: the head size, rounded up; 0 for float32
  int64_t blocks[3];     // grid
  int64_t shared_bytes;  // dynamic shared memory of a block
};

// Checks the call and splits it: heads and sequences into what a grid holds, properties into what a
// block counts in its shared memory. Almost always one launch; none where there is nothing to do.
// Throws std::invalid_argument where the call does not fit.
std::vector<Launch> plan_launches(const AttentionCall& call, const CudaLaunch& launch);

// The same for the fused kernel.
std::vector<Launch> plan_fused(const AttentionCall& call);

}  // namespace provis::cuda
