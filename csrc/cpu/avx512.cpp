// The kernels for AVX-512 (F, BW, DQ, VL).
#include "cpu/head_work.h"

#if defined(__AVX512F__)
#include "cpu/head_kernel.h"
#include "cpu/simd_avx512.h"

namespace provis::cpu {
const KernelTable* avx512_f32() { return kernel_table<Avx512>(); }
}  // namespace provis::cpu
#else
namespace provis::cpu {
const KernelTable* avx512_f32() { return nullptr; }
}  // namespace provis::cpu
#endif
