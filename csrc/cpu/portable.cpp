// The kernels for any processor; also the only ones in double.
#include "cpu/head_kernel.h"
#include "cpu/simd_portable.h"

namespace provis::cpu {

const KernelTable* portable_f32() { return kernel_table<Portable<float>>(); }
const KernelTable* portable_f64() { return kernel_table<Portable<double>>(); }

}  // namespace provis::cpu
