// Arcs: pairs with a >= theta, found without an exponential.
//
// The logarithm of a weight is x = scale * score - lse, so that a >= theta is x >= log theta. Most
// tiles have no arc, and the largest x of a tile tells; few instructions are spent on it. x is one
// fused multiply-add, which is monotonic: the largest score has the largest x, exactly.
#pragma once

#include "core/fixed_point.h"
#include "core/fragment.h"
#include "core/place.h"

namespace provis {

// A lane's scores of one tile and what turns them into x: x = unit * score + minus_lse[row].
struct LaneScores {
  const float (&scores)[kLaneElements];
  float unit;
  float minus_lse[2];  // of rows g and g + 8; -inf: the row does not count
  bool allowed[2];

  template <class Gpu>
  PROVIS_HD float x(const Gpu& gpu, float score, int e) const {
    return gpu.fma(score, unit, (e & 2) != 0 ? minus_lse[1] : minus_lse[0]);
  }
};

// Whether a lane holds an arc, or NaN, which the maximum passes on and no comparison is true of.
template <class Gpu>
PROVIS_HD bool may_have_arcs(const Gpu& gpu, const LaneScores& lane, float least) {
  bool found = false;
  PROVIS_UNROLL
  for (int row = 0; row < 2; ++row) {
    float most = -INFINITY;
    PROVIS_UNROLL
    for (int n = 0; n < 8; ++n) {
      most = gpu.max_nan(most, lane.scores[4 * n + 2 * row]);
      most = gpu.max_nan(most, lane.scores[4 * n + 2 * row + 1]);
    }
    found = found || !(gpu.fma(most, lane.unit, lane.minus_lse[row]) < least);
  }
  return found;
}

// Bits of the elements that are arcs at the least threshold.
template <class Gpu>
PROVIS_HD uint32_t find_arcs(const Gpu& gpu, const LaneScores& lane, uint64_t counted, float least,
                             bool& not_finite) {
  uint32_t found = 0;
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    const float x = lane.x(gpu, lane.scores[e], e);
    const bool column = has_column(counted, e);
    if (column && x >= least) found |= 1u << e;
    if (column && x != x && lane.allowed[(e >> 1) & 1]) not_finite = true;
  }
  return found;
}

// Adds to a counter of arcs, in shared memory or, where they do not fit, straight to the total.
template <class Gpu>
PROVIS_HD void add_to_arc_counts(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                                 const Counters& counters, int threshold, int slot,
                                 int64_t amount) {
  if (call.arc_slots_shared != 0) {
    counters.add(gpu, threshold * call.slots + slot, amount);
    return;
  }
  if (slot == 0 && call.first_launch == 0) return;
  const int64_t row = (place.sequence * call.n_thresholds + threshold) * call.heads + place.head;
  const int channel = slot == 0 ? 0 : slot + call.channel_offset;
  gpu.add_global(call.arc_counts + row * call.channels + channel, amount);
}

template <class Gpu>
PROVIS_HD void count_arc(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                         const Counters& counters, int64_t i, int64_t j, float x) {
  for (int t = 0; t < call.n_thresholds; ++t) {
    if (!(x >= call.log_thresholds[t])) continue;
    const auto add = [&](int slot, int64_t amount) {
      add_to_arc_counts(gpu, call, place, counters, t, slot, amount);
    };
    add(0, 1);
    for (int p = 0; p < call.n_properties; ++p) {
      add_pair(view_property(call, p, place), i, j, add);
    }
  }
}

// The lanes of a warp reserve their places in the list together: one addition for all.
template <class Gpu>
PROVIS_HD int64_t reserve_list(const Gpu& gpu, const TwoPassCall& call, int mine) {
  int before = mine;  // inclusive sum over the lanes so far
  PROVIS_UNROLL
  for (int step = 1; step < 32; step <<= 1) {
    const int other = gpu.shuffle_up(before, step);
    if (gpu.lane() >= step) before += other;
  }
  int64_t at = 0;
  if (gpu.lane() == 31 && before > 0) at = gpu.add_global(call.arc_total, int64_t{before});
  return gpu.shuffle(at, 31) + before - mine;
}

// Writes one arc to the list, if there is room.
template <class Gpu>
PROVIS_HD void list_arc(const Gpu& gpu, const TwoPassCall& call, const Place& place, int64_t at,
                        int i, int j, float x) {
  if (at >= call.arc_capacity) {
    raise(gpu, call, place, kArcOverflow);
    return;
  }
  int32_t* entry = call.arc_index + 4 * at;
  entry[0] = static_cast<int32_t>(place.sequence);
  entry[1] = static_cast<int32_t>(place.head);
  entry[2] = i;
  entry[3] = j;
  call.arc_weight[at] = exp_of(gpu, x);
}

// All arcs of one tile of 16 queries, from `first_query` on, x 64 keys. The whole warp comes here.
template <class Gpu>
PROVIS_HD void tile_arcs(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                         const Counters& counters, const LaneScores& lane, int first_query,
                         int first_key, uint64_t counted_keys) {
  if (!gpu.any(may_have_arcs(gpu, lane, call.least_log_threshold))) return;
  bool not_finite = false;
  uint32_t found = find_arcs(gpu, lane, lane_columns(counted_keys, gpu.lane()),
                             call.least_log_threshold, not_finite);
  if (not_finite) raise(gpu, call, place, kNotFinite);
  const bool listed = call.arc_index != nullptr;
  int64_t at = listed ? reserve_list(gpu, call, gpu.count(found)) : 0;
  while (found != 0) {
    const int e = gpu.first_bit(found);
    found &= found - 1;
    const float x = lane.x(gpu, pick_element(lane.scores, e), e);
    const int i = first_query + row_of_element(gpu.lane(), e);
    const int j = first_key + column_of_element(gpu.lane(), e);
    if (call.arc_counts != nullptr) count_arc(gpu, call, place, counters, i, j, x);
    if (listed) list_arc(gpu, call, place, at++, i, j, x);
  }
}

}  // namespace provis
