// Buffers of one thread: O(longest sequence x head size), kept from call to call.
#pragma once

#include "cpu/head_work.h"

namespace provis::cpu {

// Points the buffers of `work` into this thread's memory, large enough for sequences of up to
// `longest` tokens. Throws std::bad_alloc.
void carve_workspace(const AttentionCall& call, const KernelTable& kernel, int64_t longest,
                     int channels, int64_t reach, bool separation, HeadWork* work);

// Keys of `keys` that a block of queries meets, in whole tiles; window 0: all.
int64_t keys_in_window(const KernelTable& kernel, int64_t keys, int64_t window);

// Blocks of queries that go through the keys together: 1 where packed keys and values stay in the
// cache; and the tiles that they take at a time. What is computed is the same for any.
// `keys` are those that a block meets.
int band_of(const KernelTable& kernel, int64_t keys, int head_size, bool positions);
int64_t chunk_of(const KernelTable& kernel, int head_size);

}  // namespace provis::cpu
