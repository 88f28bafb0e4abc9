// The two-pass kernel (core/two_pass.h) and its launch. One .cu file per dtype instantiates it.
#pragma once

#include "core/two_pass.h"
#include "cuda/gpu.h"
#include "cuda/start.h"

namespace provis::cuda {

// Blocks that a multiprocessor shall hold at once: the most that costs no register spill.
template <int kDepth, bool kWeighted>
constexpr int resident_blocks() {
  if (kDepth == 0) return kWeighted ? 2 : 4;  // plain float32
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  constexpr int kMostDepthOfThree = 64;
#else
  constexpr int kMostDepthOfThree = 32;
#endif
  return kWeighted || kDepth > kMostDepthOfThree ? 2 : 3;
}

template <class Element, int kDepth, bool kWeighted>
__global__ void __launch_bounds__(kBlockThreads, (resident_blocks<kDepth, kWeighted>()))
    two_pass_kernel(const __grid_constant__ TwoPassCall call) {
  extern __shared__ __align__(16) char shared[];
  const CudaGpu gpu;
  TwoPassBlock<Element, kDepth, kWeighted, CudaGpu> block(gpu, call);
  block.run({blockIdx.x, blockIdx.y, blockIdx.z}, shared);
}

template <class Element, int kDepth, bool kWeighted>
cudaError_t start(const Launch& launch, cudaStream_t stream) {
  return start_kernel(reinterpret_cast<const void*>(&two_pass_kernel<Element, kDepth, kWeighted>),
                      launch, stream);
}

template <class Element, int kDepth>
cudaError_t start(const Launch& launch, cudaStream_t stream) {
  return launch.weighted ? start<Element, kDepth, true>(launch, stream)
                         : start<Element, kDepth, false>(launch, stream);
}

// Starts the kernel whose depth the launch names.
template <class Element>
cudaError_t start_tensor_cores(const Launch& launch, cudaStream_t stream) {
  switch (launch.depth) {
    case 16:
      return start<Element, 16>(launch, stream);
    case 32:
      return start<Element, 32>(launch, stream);
    case 64:
      return start<Element, 64>(launch, stream);
    case 96:
      return start<Element, 96>(launch, stream);
    case 128:
      return start<Element, 128>(launch, stream);
    case 256:
      return start<Element, 256>(launch, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace provis::cuda
