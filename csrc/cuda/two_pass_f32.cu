#include "cuda/two_pass_kernel.h"

namespace provis::cuda {

cudaError_t start_f32(const Launch& launch, cudaStream_t stream) {
  return start<float, 0>(launch, stream);
}

}  // namespace provis::cuda
