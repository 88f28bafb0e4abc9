// Starting one launch of a kernel.
#pragma once

#include <cuda_runtime.h>

#include "cuda/launches.h"

namespace provis::cuda {

// `kernel` takes the launch's call, or the part of it that comes first.
inline cudaError_t start_kernel(const void* kernel, const Launch& launch, cudaStream_t stream) {
  if (launch.shared_bytes > kSharedBytesForAsking) {
    // Always the same number: another thread may launch the kernel between here and there.
    const cudaError_t granted = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kMaxSharedBytes));
    if (granted != cudaSuccess) return granted;
  }
  const dim3 grid(static_cast<unsigned>(launch.blocks[0]), static_cast<unsigned>(launch.blocks[1]),
                  static_cast<unsigned>(launch.blocks[2]));
  void* arguments[] = {const_cast<FusedCall*>(&launch.call)};
  return cudaLaunchKernel(kernel, grid, dim3(kBlockThreads), arguments,
                          static_cast<size_t>(launch.shared_bytes), stream);
}

cudaError_t start_bf16(const Launch& launch, cudaStream_t stream);
cudaError_t start_f16(const Launch& launch, cudaStream_t stream);
cudaError_t start_f32(const Launch& launch, cudaStream_t stream);
cudaError_t start_fused_bf16(const Launch& launch, cudaStream_t stream);
cudaError_t start_fused_f16(const Launch& launch, cudaStream_t stream);

}  // namespace provis::cuda
