// The core of the GPU kernels on the host (fake_gpu.h): every block, warp and lane of it. Exit
// status 0 when everything agrees.
#include <vector>

#include "fake_gpu.h"
#include "gpu_tests.h"

int check_core_parts();  // core_part_tests.cpp
int check_candidates();  // candidate_tests.cpp

namespace {

using provis::DType;
using provis::cuda::Launch;

template <class Element, int kDepth>
void run_depth(const Launch& launch) {
  if (launch.fused) {
    if constexpr (kDepth > 0 && kDepth <= provis::kMaxFusedHeadSize) {
      fake::run_grid<provis::FusedBlock<Element, kDepth, fake::Gpu>>(launch.call, launch.blocks,
                                                                     launch.shared_bytes);
      return;
    }
    fake::require(false, "there is a fused kernel of this depth");
  }
  if (launch.weighted) {
    fake::run_grid<provis::TwoPassBlock<Element, kDepth, true, fake::Gpu>>(
        launch.call, launch.blocks, launch.shared_bytes);
  } else {
    fake::run_grid<provis::TwoPassBlock<Element, kDepth, false, fake::Gpu>>(
        launch.call, launch.blocks, launch.shared_bytes);
  }
}

template <class Element>
void run_element(const Launch& launch) {
  switch (launch.depth) {
    case 16:
      return run_depth<Element, 16>(launch);
    case 32:
      return run_depth<Element, 32>(launch);
    case 64:
      return run_depth<Element, 64>(launch);
    case 96:
      return run_depth<Element, 96>(launch);
    case 128:
      return run_depth<Element, 128>(launch);
    case 256:
      return run_depth<Element, 256>(launch);
    default:
      fake::require(false, "there is a kernel of this depth");
  }
}

void run_all(DType dtype, const std::vector<Launch>& launches) {
  for (const Launch& launch : launches) {
    if (dtype == DType::kFloat32) {
      run_depth<float, 0>(launch);
    } else if (dtype == DType::kBFloat16) {
      run_element<provis::BFloat16>(launch);
    } else {
      run_depth<provis::Float16, 64>(launch);
    }
  }
}

// attention_statistics_cuda() and attention_fused_cuda() with the kernels of the host.
void run_two_pass(const cases::Case& c, const provis::AttentionCall& call) {
  run_all(call.dtype, provis::cuda::plan_launches(call, c.launch));
}

void run_fused(const cases::Case&, const provis::AttentionCall& call) {
  run_all(call.dtype, provis::cuda::plan_fused(call));
}

}  // namespace

int main() {
  const int failed = check_core_parts() + check_candidates() + check_two_pass(run_two_pass) +
                     check_fused(run_fused) + check_far_strides(run_two_pass, run_fused);
  return failed == 0 ? 0 : 1;
}
