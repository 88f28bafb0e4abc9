// The kernels for AVX2 + FMA + F16C. Compiled with those flags; see head_work.h for what that
// means.
#include "cpu/head_work.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "cpu/head_kernel.h"
#include "cpu/simd_avx2.h"

namespace provis::cpu {
const KernelTable* avx2_f32() { return kernel_table<Avx2>(); }
}  // namespace provis::cpu
#else
namespace provis::cpu {
const KernelTable* avx2_f32() { return nullptr; }
}  // namespace provis::cpu
#endif
