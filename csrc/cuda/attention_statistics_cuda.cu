#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/start.h"
#include "provis/attention_statistics_cuda.h"

namespace provis {
namespace cuda {
namespace {

cudaError_t start_launch(DType dtype, const Launch& launch, cudaStream_t stream) {
  switch (dtype) {
    case DType::kBFloat16:
      return launch.fused ? start_fused_bf16(launch, stream) : start_bf16(launch, stream);
    case DType::kFloat16:
      return launch.fused ? start_fused_f16(launch, stream) : start_f16(launch, stream);
    default:
      return start_f32(launch, stream);
  }
}

void start_all(const char* function, DType dtype, const std::vector<Launch>& launches,
               void* stream) {
  for (const Launch& launch : launches) {
    const cudaError_t status = start_launch(dtype, launch, static_cast<cudaStream_t>(stream));
    if (status == cudaSuccess) continue;
    cudaGetLastError();  // what is thrown here must not come up again elsewhere
    throw std::runtime_error(std::string(function) +
                             ": CUDA refused the launch: " + cudaGetErrorString(status));
  }
}

}  // namespace
}  // namespace cuda

void attention_statistics_cuda(const AttentionCall& call, const CudaLaunch& launch) {
  cuda::start_all("attention_statistics_cuda", call.dtype, cuda::plan_launches(call, launch),
                  launch.stream);
}

void attention_fused_cuda(const AttentionCall& call, void* stream) {
  cuda::start_all("attention_fused_cuda", call.dtype, cuda::plan_fused(call), stream);
}

}  // namespace provis
