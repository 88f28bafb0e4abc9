// What a task has found, into the accumulators of the call.
//
// Each task accumulates in memory of its own and adds to the shared accumulators once, at its end.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/call_plan.h"

namespace provis::cpu {

// Keys within reach of the task.
int64_t first_key(const KernelTable& kernel, const HeadWork& work);
int64_t last_key(const KernelTable& kernel, const HeadWork& work);

// Completes the mass by what each key and each j - i received, and adds everything. `slots`:
// scratch.
void add_results(const CallPlan& plan, const Task& task, HeadWork* work,
                 std::vector<int64_t>* slots);

}  // namespace provis::cpu
