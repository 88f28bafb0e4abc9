// What the score of a pair owes to j - i: terms of relative position, the relative bias, the
// window.
//
// Position keys are packed once per head, like keys, in the order of j - i. A block of queries is
// multiplied with those that its pairs need, kRows - 1 more than it has keys, into a strip of its
// own: there, the product of row r for key j stands at j - i + span, one place further left with
// every row. Adding it to the scores is a shifted sum of vectors, so nothing is ever looked up by
// pair. The bias is a vector per head, of which each row reads a piece.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/packing.h"

namespace provis::cpu {
namespace {

// Rows times packed keys give a strip.
struct Operands {
  const void* rows;
  const void* keys;
  void* strip;
};

// Tiles of position keys whose products stand in the position strip.
struct PositionTiles {
  int64_t begin, end;
};

template <class S>
struct Offsets {
  using Real = typename S::Real;
  using Vec = typename S::Vec;
  static constexpr int kRows = S::kRows;
  static constexpr int kLanes = S::kLanes;
  static constexpr int kTile = 2 * kLanes;

  static bool any(const HeadWork& w) {
    return w.window > 0 || w.relative_bias != nullptr || w.position_query != nullptr;
  }

  // Those that a block of queries needs for key tiles begin to end: at most two more than these.
  static PositionTiles position_tiles(const HeadWork& w, int64_t first, int64_t begin,
                                      int64_t end) {
    const int64_t least = w.span + begin * kTile - (first + kRows - 1);
    const int64_t most = w.span + std::min(end * kTile, w.keys) - 1 - first;
    const int64_t last = std::min(w.position_tiles, most / kTile + 1);
    return {std::min(last, std::max<int64_t>(0, least) / kTile), last};
  }

  // Adds all terms to the scores of key tiles begin to end. most[r] receives the lane-wise maxima.
  static void add(const HeadWork& w, int64_t first, int64_t begin, int64_t end, PositionTiles tiles,
                  Vec* most) {
    for (int r = 0; r < kRows && first + r < w.n; ++r) {
      if (w.position_query != nullptr) {
        add_to_row<true>(w, first + r, r, begin, end, tiles, most);
      } else {
        add_to_row<false>(w, first + r, r, begin, end, tiles, most);
      }
    }
  }

 private:
  template <bool kPositions>
  static PROVIS_HOT void add_to_row(const HeadWork& w, int64_t i, int r, int64_t begin, int64_t end,
                                    PositionTiles tiles, Vec* most) {
    const Real* bias = w.relative_bias == nullptr
                           ? nullptr
                           : static_cast<const Real*>(w.offset_bias) + (w.span - i);
    const int64_t shift = w.span - i;  // from key to place among the position keys; not negative
    const int by = static_cast<int>(shift % kLanes);
    const typename S::Shift lanes = S::shift_by(by);
    // Vector of the position strip that key vector 0 begins in.
    const int64_t origin = shift / kLanes - 2 * tiles.begin;
    const int64_t stored = 2 * (tiles.end - tiles.begin);
    const int64_t near = w.window > 0 ? i - w.window : -kLanes;  // the last key before the window
    const int64_t far = w.window > 0 ? i + w.window : INT64_MAX;
    Real* row = static_cast<Real*>(w.strip) + (begin * kRows + r) * kTile;
    Vec low = kPositions ? position_vector(w, origin + 2 * begin, stored, r) : S::set1(0);
    Vec largest = most[r];
    for (int64_t t = begin; t < end; ++t, row += kRows * kTile) {
#pragma GCC unroll 2
      for (int side = 0; side < 2; ++side) {
        const int64_t vector = 2 * t + side, j = vector * kLanes;
        Vec x = S::load(row + side * kLanes);
        if constexpr (kPositions) {
          const Vec high = position_vector(w, origin + vector + 1, stored, r);
          x = S::add(x, S::shifted(low, high, lanes));
          low = high;
        }
        if (bias != nullptr) x = S::add(x, S::load(bias + j));
        if (j <= near || j + kLanes > far) x = within(x, j, near, far);
        S::store(row + side * kLanes, x);
        largest = S::max(largest, x);
      }
    }
    most[r] = largest;
  }

  // No row has more than a few vectors that are partly within the window.
  static Vec within(Vec x, int64_t j, int64_t near, int64_t far) {
    if (j + kLanes - 1 <= near || j >= far) return S::set1(-INFINITY);
    Real scores[kLanes];
    S::store(scores, x);
    for (int c = 0; c < kLanes; ++c) {
      if (j + c <= near || j + c >= far) scores[c] = -INFINITY;
    }
    return S::load(scores);
  }

  // Where nothing is stored there is no pair, or none within the window.
  static Vec position_vector(const HeadWork& w, int64_t vector, int64_t stored, int r) {
    if (vector < 0 || vector >= stored) return S::set1(0);
    return S::load(static_cast<const Real*>(w.position_strip) +
                   ((vector >> 1) * kRows + r) * kTile + (vector & 1) * kLanes);
  }
};

}  // namespace
}  // namespace provis::cpu
