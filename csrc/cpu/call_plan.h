// What all tasks of a call share: its sequences, their split into tasks, and what follows from the
// call as a whole.
//
// A task is a chunk of the queries of one (sequence, head). The split depends on the sizes alone,
// never on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/head_work.h"

namespace provis::cpu {

struct Sequence {
  int64_t begin;  // first token, counted over the batch
  int64_t n;
  int64_t keys;  // up to the last that may be attended
  bool split;    // several tasks share its accumulators
};

struct Task {
  int32_t sequence;
  int32_t head;
  int32_t first;
  int32_t last;
};

struct CallPlan {
  // Both outlive the plan.
  CallPlan(const AttentionCall& call, const KernelTable& kernel);

  const Sequence& sequence_of(const Task& task) const {
    return sequences[static_cast<size_t>(task.sequence)];
  }

  // The largest |j - i| in a sequence of `n` tokens that lies in one of the bins but the last.
  int64_t reach(int64_t n) const;

  const AttentionCall& call;
  const KernelTable& kernel;
  const int channels;
  std::vector<Sequence> sequences;
  std::vector<Task> tasks;
  std::vector<uint8_t> counted;  // [tokens] residue and allowed
  std::vector<uint8_t> bin_of;   // separation bin of |j - i|; the last bin begins at its end
  double least_threshold = 2.0;
  bool separation = false;  // a property asks for it
  int64_t longest = 0;      // tokens

 private:
  void add_sequences();
};

}  // namespace provis::cpu
