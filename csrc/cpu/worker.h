// One thread's part of a call: points the kernels at one (sequence, head) after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/call_plan.h"

namespace provis::cpu {

class Worker {
 public:
  // `plan` outlives the worker. Throws std::bad_alloc. A worker belongs to the thread that made it.
  explicit Worker(const CallPlan& plan);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void run(const Task& task);

 private:
  void enter(const Task& task, const Sequence& q);
  void view_tensors(const Task& task, const Sequence& q);
  const char* position_keys(int64_t head) const;
  void choose_tiles(const Task& task, const Sequence& q);
  void view_properties(int64_t sequence, const Sequence& q);
  void clear();

  const CallPlan& plan_;
  const AttentionCall& call_;
  HeadWork work_{};
  std::vector<SequenceProperty> properties_;
  std::vector<int64_t> slots_;  // scratch of add_results
  alignas(64) char saved_[kSavedBytes];
  int32_t sequence_ = -1;
  int32_t head_ = -1;
};

}  // namespace provis::cpu
