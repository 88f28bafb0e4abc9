#include "cuda/two_pass_kernel.h"

namespace provis::cuda {

cudaError_t start_bf16(const Launch& launch, cudaStream_t stream) {
  return start_tensor_cores<BFloat16>(launch, stream);
}

}  // namespace provis::cuda
