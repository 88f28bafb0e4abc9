// The kernels for bf16 input on AVX-512 with AVX512-BF16: products of bf16 pairs, fp32 sums.
#include "cpu/head_work.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)
#include "cpu/head_kernel.h"
#include "cpu/simd_avx512.h"

namespace provis::cpu {
const KernelTable* avx512_bf16() { return kernel_table<Avx512Bf16>(); }
}  // namespace provis::cpu
#else
namespace provis::cpu {
const KernelTable* avx512_bf16() { return nullptr; }
}  // namespace provis::cpu
#endif
