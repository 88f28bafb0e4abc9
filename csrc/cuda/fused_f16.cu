#include "cuda/fused_kernel.h"

namespace provis::cuda {

cudaError_t start_fused_f16(const Launch& launch, cudaStream_t stream) {
  return start_fused<Float16>(launch, stream);
}

}  // namespace provis::cuda
