#include <stdexcept>
#include <string>

#include "cuda/two_pass_kernel.h"
#include "provis/attention_statistics_cuda.h"

namespace provis {
namespace cuda {
namespace {

cudaError_t start_launch(DType dtype, const Launch& launch, cudaStream_t stream) {
  switch (dtype) {
    case DType::kBFloat16:
      return start_bf16(launch, stream);
    case DType::kFloat16:
      return start_f16(launch, stream);
    default:
      return start_f32(launch, stream);
  }
}

}  // namespace
}  // namespace cuda

void attention_statistics_cuda(const AttentionCall& call, const CudaLaunch& launch) {
  for (const cuda::Launch& part : cuda::plan_launches(call, launch)) {
    const cudaError_t status =
        cuda::start_launch(call.dtype, part, static_cast<cudaStream_t>(launch.stream));
    if (status == cudaSuccess) continue;
    cudaGetLastError();  // what is thrown here must not come up again elsewhere
    throw std::runtime_error(std::string("attention_statistics_cuda: CUDA refused the launch: ") +
                             cudaGetErrorString(status));
  }
}

}  // namespace provis
