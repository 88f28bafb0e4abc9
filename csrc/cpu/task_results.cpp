#include "cpu/task_results.h"

#include <algorithm>
#include <cstddef>

namespace provis::cpu {
namespace {

// Adds to an accumulator of one (sequence, head); atomically where several tasks share it.
void add_to(int64_t* total, int64_t amount, bool shared) {
  if (amount == 0) return;
  if (shared) {
    __atomic_fetch_add(total, amount, __ATOMIC_RELAXED);
  } else {
    *total += amount;
  }
}

// What depends on the key alone follows from the attention that each key received; keys that are no
// residues received none.
void fold_columns(int64_t begin, int64_t end, HeadWork& w, std::vector<int64_t>& slots) {
  for (int64_t j = begin; j < end; ++j) w.mass[0] += w.columns[j];
  for (int p = 0; p < w.n_properties; ++p) {
    const SequenceProperty& property = w.properties[p];
    int64_t* mass = w.mass + property.channel;
    if (property.kind == PropertyKind::kKeyClass) {
      // Slot 0 is for unknown labels, the last one for known ones of no class.
      const int classes = property.classes;
      slots.assign(static_cast<size_t>(classes) + 2, 0);
      for (int64_t j = begin; j < end; ++j) {
        const int slot = std::clamp<int>(property.labels[j], -1, classes) + 1;
        slots[static_cast<size_t>(slot)] += w.columns[j];
      }
      for (int c = 0; c < classes; ++c) mass[1 + c] += slots[static_cast<size_t>(c) + 1];
      for (size_t slot = 1; slot < slots.size(); ++slot) mass[0] += slots[slot];
    } else if (property.kind == PropertyKind::kKeyValue) {
      __extension__ __int128 sum = 0;
      for (int64_t j = begin; j < end; ++j) {
        const int64_t value = property.values[j];
        if (value == kUnknownValue) continue;
        mass[0] += w.columns[j];
        sum += static_cast<__int128_t>(w.columns[j]) * value;
      }
      mass[1] += static_cast<int64_t>((sum + (1 << 15)) >> 16);
    }
  }
}

// The last separation bin is what the others leave of the whole.
void fold_diagonals(HeadWork& w) {
  for (int p = 0; p < w.n_properties; ++p) {
    const SequenceProperty& property = w.properties[p];
    if (property.kind != PropertyKind::kSeparation) continue;
    int64_t* mass = w.mass + property.channel;
    int64_t near = 0;
    for (int64_t offset = -w.reach; w.diagonals != nullptr && offset <= w.reach; ++offset) {
      const int64_t distance = offset < 0 ? -offset : offset;
      if (distance >= property.near) continue;
      const int64_t found = w.diagonals[offset + w.reach];
      mass[1 + property.bin_of[distance]] += found;
      near += found;
    }
    const int64_t far = w.n > property.near ? std::max<int64_t>(0, w.mass[0] - near) : int64_t{0};
    mass[property.classes] += far;
    mass[0] += near + far;
  }
}

}  // namespace

int64_t first_key(const KernelTable& kernel, const HeadWork& work) {
  return work.task_begin * kernel.tile;
}

int64_t last_key(const KernelTable& kernel, const HeadWork& work) {
  return std::min(work.keys, work.task_end * kernel.tile);
}

void add_results(const CallPlan& plan, const Task& task, HeadWork* work,
                 std::vector<int64_t>* slots) {
  const AttentionCall& call = plan.call;
  HeadWork& w = *work;
  const Sequence& q = plan.sequence_of(task);
  const int64_t begin = first_key(plan.kernel, w), end = last_key(plan.kernel, w);
  const int64_t s = task.sequence;
  const int64_t cell = s * call.heads + task.head;
  const bool shared = q.split;
  if (call.flags != nullptr && (w.not_finite || w.arc_overflow)) {
    const int32_t flag = (w.not_finite ? kNotFinite : 0) | (w.arc_overflow ? kArcOverflow : 0);
    __atomic_fetch_or(call.flags + s, flag, __ATOMIC_RELAXED);
  }
  for (int t = 0; w.arc_counts != nullptr && t < call.n_thresholds; ++t) {
    int64_t* total =
        call.arc_counts + ((s * call.n_thresholds + t) * call.heads + task.head) * w.channels;
    const int64_t* found = w.arc_counts + static_cast<int64_t>(t) * w.channels;
    for (int c = 0; c < w.channels; ++c) add_to(total + c, found[c], shared);
  }
  if (w.mass != nullptr) {
    fold_columns(begin, end, w, *slots);
    fold_diagonals(w);
    int64_t* total = call.mass + cell * w.channels;
    for (int c = 0; c < w.channels; ++c) add_to(total + c, w.mass[c], shared);
  }
  if (call.received != nullptr) {
    int64_t* total = call.received + task.head * call.tokens + q.begin;
    for (int64_t j = begin; j < end; ++j) add_to(total + j, w.columns[j], shared);
  }
  if (call.entropy != nullptr) add_to(call.entropy + cell, w.entropy, shared);
}

}  // namespace provis::cpu
