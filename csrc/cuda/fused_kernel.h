// The fused kernel (core/fused.h). One .cu file per dtype instantiates it.
#pragma once

#include "core/fused.h"
#include "cuda/gpu.h"
#include "cuda/start.h"

namespace provis::cuda {

// Blocks that a multiprocessor shall hold at once: the most that costs no register spill.
template <int kDepth>
constexpr int resident_fused_blocks() {
  return 2;
}

template <class Element, int kDepth>
__global__ void __launch_bounds__(kBlockThreads, resident_fused_blocks<kDepth>())
    fused_kernel(const __grid_constant__ FusedCall call) {
  extern __shared__ __align__(16) char shared[];
  const CudaGpu gpu;
  FusedBlock<Element, kDepth, CudaGpu> block(gpu, call);
  block.run({blockIdx.x, blockIdx.y, blockIdx.z}, shared);
}

template <class Element, int kDepth>
cudaError_t start_fused_depth(const Launch& launch, cudaStream_t stream) {
  return start_kernel(reinterpret_cast<const void*>(&fused_kernel<Element, kDepth>), launch,
                      stream);
}

// Starts the kernel whose depth the launch names.
template <class Element>
cudaError_t start_fused(const Launch& launch, cudaStream_t stream) {
  switch (launch.depth) {
    case 16:
      return start_fused_depth<Element, 16>(launch, stream);
    case 32:
      return start_fused_depth<Element, 32>(launch, stream);
    case 64:
      return start_fused_depth<Element, 64>(launch, stream);
    case 96:
      return start_fused_depth<Element, 96>(launch, stream);
    case 128:
      return start_fused_depth<Element, 128>(launch, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace provis::cuda
