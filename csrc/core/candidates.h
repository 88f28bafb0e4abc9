// Candidates of a row for arcs, while its normaliser is still growing: what a single pass over the
// keys needs, where an attention weight is final only with the last key.
//
// With the keys so far, the running log-sum-exp lse gives key j the weight e^(score - lse). The sum
// of these weights is 1 and lse never falls, so no more than 1 / theta keys have a weight of theta,
// and a key below that is out for good. The list keeps the keys whose weight is at least
// theta e^-kSlack; as long as lse is right to 4e-5 these are no more than (1 + 1e-4) / theta, so
// the list cannot overflow. (In float32 that holds for |lse| up to 512, ten times what models have;
// beyond, a row that does run out of room is flagged.) It is pruned when keys are added: at no
// other time can it run out of room.
#pragma once

#include <cmath>

#include "core/fragment.h"

namespace provis {

constexpr int kMaxCandidates = 16;
constexpr float kSlack = 5e-5f;

struct Candidate {
  float score;
  int32_t key;
};

// Room that a row needs for this threshold, in double: in float, 1 / 0.1 gives 9. 0 where it is
// more than a list holds; then the log-sum-exp has to be known first (two_pass.h).
static inline int candidate_capacity(double theta) {
  const double keys = std::floor((1.0 + 1e-4) / theta);
  return keys <= kMaxCandidates ? static_cast<int>(keys) : 0;
}

// The list of one row, in shared memory. The four lanes that share the row work on it together.
struct CandidateList {
  Candidate* entries;  // [capacity]
  int* size;
  int capacity;
};

// Least unit * score of a candidate, given the row's log-sum-exp over the keys so far; -inf where
// there is none yet.
static PROVIS_HD float candidate_floor(float running_lse, float log_theta) {
  return running_lse + log_theta - kSlack;
}

// Adds the keys of one tile to the lists of the warp's rows: `row` 0 for rows g, 1 for rows g + 8
// of the fragments. A key is a candidate where unit * score >= `floor`, that of the lane's row with
// this tile in its normaliser; NaN for a row that does not count. `columns` are the keys that
// count, as the lane sees them. The whole warp comes here. False if there was no room, which a
// right normaliser rules out: nothing is written then, and the row cannot be used.
template <class Gpu>
PROVIS_HD bool add_candidates(const Gpu& gpu, const CandidateList& list,
                              const float (&scores)[kLaneElements], int row, uint64_t columns,
                              int first_key, float unit, float floor) {
  uint32_t found = 0;  // bit e
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    const bool of_row = ((e >> 1) & 1) == row;
    // A row without keys has a floor of -inf: forbidden keys are no candidates there either.
    const bool high = unit * scores[e] >= floor && scores[e] > -INFINITY;
    if (of_row && high && has_column(columns, e)) found |= 1u << e;
  }
  if (!gpu.any(found != 0)) return true;

  const int mine = gpu.count(found);
  const int lane_of_row = gpu.lane() & 3;
  int before = mine;
  PROVIS_UNROLL
  for (int step = 1; step < 4; step <<= 1) {
    const int other = gpu.shuffle_up(before, step);
    if (lane_of_row >= step) before += other;
  }
  before -= mine;
  const int total = row_sum(gpu, mine);
  if (lane_of_row == 0 && total > 0) {
    int kept = 0;
    for (int c = 0; c < *list.size; ++c) {
      const Candidate candidate = list.entries[c];
      if (unit * candidate.score >= floor) list.entries[kept++] = candidate;
    }
    *list.size = kept;
  }
  gpu.sync_warp();  // pruned
  const int size = *list.size;
  const bool fits = size + total <= list.capacity;
  for (int at = size + before; fits && found != 0; found &= found - 1, ++at) {
    const int e = gpu.first_bit(found);
    list.entries[at] = {pick_element(scores, e), first_key + column_of_element(gpu.lane(), e)};
  }
  gpu.sync_warp();  // everybody has read the size
  if (lane_of_row == 0 && fits) *list.size = size + total;
  gpu.sync_warp();
  return fits;
}

// Calls arc(key, x) for the candidates with x = unit * score - lse >= log theta, once lse is final:
// the same single rounding as where the log-sum-exp is known from the start (arcs.h). The lanes of
// the row share them.
template <class Gpu, class Arc>
PROVIS_HD void final_candidates(const Gpu& gpu, const CandidateList& list, float unit,
                                float minus_lse, float log_theta, Arc arc) {
  for (int c = gpu.lane() & 3; c < *list.size; c += 4) {
    const float x = gpu.fma(list.entries[c].score, unit, minus_lse);
    if (x >= log_theta) arc(list.entries[c].key, x);
  }
}

}  // namespace provis
