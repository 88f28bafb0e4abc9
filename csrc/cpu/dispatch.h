// Choice of the kernels for a call and a machine.
#pragma once

#include "cpu/head_work.h"

namespace provis::cpu {

const KernelTable& choose_kernel(DType dtype);
void run_call(const AttentionCall& call, const KernelTable& kernel);

}  // namespace provis::cpu
