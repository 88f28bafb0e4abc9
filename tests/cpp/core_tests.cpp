// The core of the GPU kernels on the host (fake_gpu.h): every block, warp and lane of it. Exit
// status 0 when everything agrees.
#include "fake_gpu.h"
#include "two_pass_tests.h"

int check_core_parts();  // core_part_tests.cpp
int check_candidates();  // candidate_tests.cpp

namespace {

using provis::DType;
using provis::cuda::Launch;

template <class Element, int kDepth>
void run_depth(const Launch& launch) {
  if (launch.weighted) {
    fake::run_grid<Element, kDepth, true>(launch.call, launch.blocks, launch.shared_bytes);
  } else {
    fake::run_grid<Element, kDepth, false>(launch.call, launch.blocks, launch.shared_bytes);
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

// attention_statistics_cuda() with the kernels of the host.
void run(const cases::Case& c, const provis::AttentionCall& call) {
  for (const Launch& launch : provis::cuda::plan_launches(call, c.launch)) {
    if (call.dtype == DType::kFloat32) {
      run_depth<float, 0>(launch);
    } else if (call.dtype == DType::kBFloat16) {
      run_element<provis::BFloat16>(launch);
    } else {
      run_depth<provis::Float16, 64>(launch);
    }
  }
}

}  // namespace

int main() { return check_core_parts() + check_candidates() + check_two_pass(run) == 0 ? 0 : 1; }
