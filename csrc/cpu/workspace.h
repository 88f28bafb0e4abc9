// Buffers of one thread: O(longest sequence x head size), kept from call to call.
#pragma once

#include "cpu/head_work.h"

namespace provis::cpu {

// Points the buffers of `work` into this thread's memory, large enough for sequences of up to
// `longest` tokens. Throws std::bad_alloc.
void carve_workspace(const AttentionCall& call, const KernelTable& kernel, int64_t longest,
                     int channels, int64_t reach, bool separation, HeadWork* work);

}  // namespace provis::cpu
