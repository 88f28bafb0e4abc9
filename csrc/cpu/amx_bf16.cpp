// The kernels for bf16 input on AMX: products in tile registers, the rest in AVX-512.
#include "cpu/head_work.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "cpu/head_kernel.h"

namespace provis::cpu {
const KernelTable* amx_bf16() { return kernel_table<AmxBf16>(); }
}  // namespace provis::cpu
#else
namespace provis::cpu {
const KernelTable* amx_bf16() { return nullptr; }
}  // namespace provis::cpu
#endif
