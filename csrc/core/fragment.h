// The scores that one lane of a warp holds of a tile of 16 queries x 64 keys.
//
// The layout is that of the accumulators of eight mma.m16n8k16 side by side. With g = lane / 4 and
// t = lane % 4, accumulators c0..c3 of the n-th product are
//   c0, c1: row g,     columns 8 n + 2 t, 8 n + 2 t + 1
//   c2, c3: row g + 8, columns 8 n + 2 t, 8 n + 2 t + 1
// and element e = 4 n + k of a lane is ck of product n. Kernels in plain float32 keep to the same
// layout, so that one code reads statistics off all of them.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/channels.h"

namespace provis {

constexpr int kLaneElements = 32;
constexpr int kWarpRows = 16;
constexpr int kTileKeys = 64;

static PROVIS_HD int row_of_element(int lane, int e) { return (lane >> 2) + ((e & 2) << 2); }

static PROVIS_HD int column_of_element(int lane, int e) {
  return ((e >> 2) << 3) + ((lane & 3) << 1) + (e & 1);
}

// A mask of 64 key columns as the lane sees it: bit 8 n + b is its column b of product n.
static PROVIS_HD uint64_t lane_columns(uint64_t columns, int lane) {
  return columns >> ((lane & 3) << 1);
}

static PROVIS_HD bool has_column(uint64_t lane_mask, int e) {
  return ((lane_mask >> (((e >> 2) << 3) + (e & 1))) & 1) != 0;
}

// values[e] for an e that is not known to the compiler. Registers have no index: a chain of
// selections, where indexing would send the whole array to memory.
static PROVIS_HD float pick_element(const float (&values)[kLaneElements], int e) {
  float found = values[0];
  PROVIS_UNROLL
  for (int x = 1; x < kLaneElements; ++x) found = x == e ? values[x] : found;
  return found;
}

// Sets the columns outside of `lane_mask` to `value`.
static PROVIS_HD void fill_other_columns(float (&values)[kLaneElements], uint64_t lane_mask,
                                         float value) {
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    if (!has_column(lane_mask, e)) values[e] = value;
  }
}

// One step of column_sums: of 2 * kHalf sums, a lane keeps half and hands the others to a lane that
// keeps those.
template <int kHalf, class Gpu>
PROVIS_HD void halve(const Gpu& gpu, float (&sums)[16]) {
  const bool upper = (gpu.lane() & (2 * kHalf)) != 0;
  PROVIS_UNROLL
  for (int c = 0; c < kHalf; ++c) {
    const float sent = upper ? sums[c] : sums[kHalf + c];
    const float kept = upper ? sums[kHalf + c] : sums[c];
    sums[c] = kept + gpu.shuffle_xor(sent, 2 * kHalf);
  }
}

// A lane's sums by column, c = 2 n + b for column b of product n, of one more row tile.
static PROVIS_HD void add_columns(const float (&values)[kLaneElements], float (&columns)[16]) {
  PROVIS_UNROLL
  for (int c = 0; c < 16; ++c) {
    const int e = ((c >> 1) << 2) + (c & 1);
    columns[c] += values[e] + values[e + 2];
  }
}

// Sums of the warp's rows by column, from those of its lanes: lane l receives columns 2 l and 2 l +
// 1. The lanes of one t halve what they hold three times, so that 14 exchanges do the work of 48;
// the order is fixed.
template <class Gpu>
PROVIS_HD void column_sums(const Gpu& gpu, float (&columns)[16], float (&sums)[2]) {
  halve<8>(gpu, columns);
  halve<4>(gpu, columns);
  halve<2>(gpu, columns);
  sums[0] = columns[0];
  sums[1] = columns[1];
}

template <class T, class Gpu>
PROVIS_HD T warp_sum(const Gpu& gpu, T value) {
  PROVIS_UNROLL
  for (int step = 16; step > 0; step >>= 1) value += gpu.shuffle_xor(value, step);
  return value;
}

// Sum over the four lanes that share a row.
template <class T, class Gpu>
PROVIS_HD T row_sum(const Gpu& gpu, T value) {
  value += gpu.shuffle_xor(value, 1);
  value += gpu.shuffle_xor(value, 2);
  return value;
}

}  // namespace provis
