#include "cuda/fused_kernel.h"

namespace provis::cuda {

cudaError_t start_fused_bf16(const Launch& launch, cudaStream_t stream) {
  return start_fused<BFloat16>(launch, stream);
}

}  // namespace provis::cuda
