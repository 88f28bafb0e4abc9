#include "cuda/two_pass_kernel.h"

namespace provis::cuda {

cudaError_t start_f16(const Launch& launch, cudaStream_t stream) {
  return start_tensor_cores<Float16>(launch, stream);
}

}  // namespace provis::cuda
