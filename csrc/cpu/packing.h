// Copies of keys, values and queries in the order in which the kernel walks them.
//
// Keys are packed transposed, [tile, depth, kTile], so that one vector holds one coordinate of
// kLanes keys; queries likewise, [depth, kQueryPitch]; values are packed [key, width]. Packing
// costs O(n d) against O(n^2 d), zeroes what is forbidden (poison in padding goes nowhere), and
// makes every layout and dtype the same.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/rows.h"

namespace provis::cpu {
namespace {

// Hot loops stay functions of their own: each gets all the registers.
#define PROVIS_HOT __attribute__((noinline))

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;

template <class S>
struct Packing {
  using Real = typename S::Real;
  using Vec = typename S::Vec;
  using Packed = typename S::Packed;
  static constexpr int kRows = S::kRows;
  static constexpr int kLanes = S::kLanes;
  static constexpr int kTile = 2 * kLanes;
  static constexpr int kPair = S::kHalf ? 2 : 1;
  // A line more than the largest head, lest all rows fall into the same sets of the cache.
  static constexpr int kQueryPitch = kMaxHeadSize / kPair + 64 / static_cast<int>(sizeof(Packed));

  static int64_t depth_pitch(const HeadWork& w) {
    const int64_t steps = (w.depth + kPair - 1) / kPair;
    return (steps + kLanes - 1) / kLanes * kLanes;
  }

  static void transpose(const Packed* in, int64_t pitch, Packed* out, int64_t out_pitch) {
    S::transpose(reinterpret_cast<const typename S::Word*>(in), pitch,
                 reinterpret_cast<typename S::Word*>(out), out_pitch);
  }

  static void pack(HeadWork& w) {
    if (w.new_sequence) pack_masks(w);
    pack_keys(w);
    if (w.value != nullptr) pack_values(w);
    if (!w.new_head) return;
    if (w.position_key != nullptr) pack_positions(w);
    if (w.relative_bias != nullptr) pack_relative_bias(w);
  }

  // From a bias in natural units to the strip's: log2, or raw products that are scaled later.
  static double bias_factor(const HeadWork& w) { return S::kTiles ? 1 / w.scale : kLog2E; }

  static PROVIS_HOT void pack_masks(HeadWork& w) {
    Real* bias = static_cast<Real*>(w.key_bias);
    const double factor = bias_factor(w);
    for (int64_t t = 0; t < w.tiles; ++t) {
      uint32_t residues = 0;
      bool any = false;
      for (int c = 0; c < kTile; ++c) {
        const int64_t j = t * kTile + c;
        Real b = 0;
        if (j >= w.keys || !is_allowed(w, j)) {
          b = -INFINITY;
        } else if (w.additive != nullptr) {
          b = static_cast<Real>(w.additive[j] * factor);
        }
        bias[j] = b;
        any |= b != 0;
        residues |= static_cast<uint32_t>(j < w.keys && w.counted[j]) << c;
      }
      w.tile_has_bias[t] = any;
      w.residue_bits[t] = residues;
    }
  }

  // Whether rows can be transposed from where they are: no conversion, no tail.
  static bool direct(const HeadWork& w, int64_t stride) {
    const DType native = S::kHalf            ? DType::kBFloat16
                         : sizeof(Real) == 8 ? DType::kFloat64
                                             : DType::kFloat32;
    return w.dtype == native && w.depth % (kLanes * kPair) == 0 && stride % kPair == 0;
  }

  static PROVIS_HOT void pack_keys(HeadWork& w) {
    const int64_t pitch = depth_pitch(w);
    const bool in_place = direct(w, w.key_stride);
    const Real* bias = static_cast<const Real*>(w.key_bias);
    Packed* out = static_cast<Packed*>(w.packed_key) + w.task_begin * pitch * kTile;
    for (int64_t t = w.task_begin; t < w.task_end; ++t, out += pitch * kTile) {
      bool whole = (t + 1) * kTile <= w.keys;
      for (int c = 0; c < kTile; ++c) whole &= bias[t * kTile + c] != -INFINITY;
      pack_tile(w, w.key, w.key_stride, t, in_place && whole, out,
                [bias](int64_t j) { return bias[j] != -INFINITY; });
    }
  }

  // Rows of one tile, transposed; zeros for those that are not kept.
  template <class Keep>
  static void pack_tile(HeadWork& w, const char* data, int64_t stride, int64_t tile, bool in_place,
                        Packed* out, Keep keep) {
    const int64_t pitch = depth_pitch(w);
    Packed* rows = static_cast<Packed*>(w.rows_in);
    const Packed* in = rows;
    int64_t in_pitch = pitch;
    if (in_place) {
      in_pitch = stride / kPair;
      in = reinterpret_cast<const Packed*>(data) + tile * kTile * in_pitch;
    } else {
      for (int c = 0; c < kTile; ++c) {
        const int64_t j = tile * kTile + c;
        if (keep(j)) {
          load_row<S>(w, data, stride, j, rows + c * pitch, pitch);
        } else {
          std::memset(rows + c * pitch, 0, static_cast<size_t>(pitch) * sizeof(Packed));
        }
      }
    }
    for (int side = 0; side < 2; ++side) {
      for (int64_t d = 0; d < pitch; d += kLanes) {
        transpose(in + side * kLanes * in_pitch + d, in_pitch, out + d * kTile + side * kLanes,
                  kTile);
      }
    }
  }

  static PROVIS_HOT void pack_positions(HeadWork& w) {
    const int64_t pitch = depth_pitch(w), rows = 2 * w.span + 1;
    const bool in_place = direct(w, w.position_key_stride);
    Packed* out = static_cast<Packed*>(w.packed_positions);
    for (int64_t t = 0; t < w.position_tiles; ++t, out += pitch * kTile) {
      pack_tile(w, w.position_key, w.position_key_stride, t, in_place && (t + 1) * kTile <= rows,
                out, [rows](int64_t row) { return row < rows; });
    }
  }

  static PROVIS_HOT void pack_relative_bias(HeadWork& w) {
    Real* out = static_cast<Real*>(w.offset_bias);
    const double factor = bias_factor(w);
    const int64_t rows = 2 * w.span + 1;
    for (int64_t o = 0; o < rows; ++o) out[o] = static_cast<Real>(w.relative_bias[o] * factor);
    for (int64_t o = rows; o < rows + kTile; ++o) out[o] = 0;
  }

  static PROVIS_HOT void pack_values(HeadWork& w) {
    const int64_t begin = w.task_begin * kTile, end = std::min(w.keys, w.task_end * kTile);
    Packed* out = static_cast<Packed*>(w.packed_value) + begin / kPair * w.width;
    if constexpr (S::kHalf) {
      const uint16_t zeros[kMaxHeadSize] = {};
      const uint16_t* in = reinterpret_cast<const uint16_t*>(w.value);
      for (int64_t j = begin; j < end; j += 2, out += w.width) {
        const uint16_t* low = is_allowed(w, j) ? in + j * w.value_stride : zeros;
        const bool pair = j + 1 < w.keys && is_allowed(w, j + 1);
        const uint16_t* high = pair ? in + (j + 1) * w.value_stride : zeros;
        int c = 0;
        for (; c + kLanes <= w.depth; c += kLanes) S::interleave(low + c, high + c, out + c);
        for (; c < w.depth; ++c) out[c] = low[c] | static_cast<uint32_t>(high[c]) << 16;
        for (; c < w.width; ++c) out[c] = 0;
      }
      if constexpr (S::kTiles) {  // multiplied whole: what lies beyond the keys must be numbers
        const Packed* first = static_cast<const Packed*>(w.packed_value);
        const int64_t left = w.task_end * kLanes * w.width - (out - first);
        std::memset(out, 0, static_cast<size_t>(left) * sizeof(Packed));
      }
    } else {
      for (int64_t j = begin; j < end; ++j, out += w.width) {
        if (is_allowed(w, j)) {
          load_row<S>(w, w.value, w.value_stride, j, out, w.width);
        } else {
          std::memset(out, 0, static_cast<size_t>(w.width) * sizeof(Packed));
        }
      }
    }
  }

  static void pack_queries(HeadWork& w, int64_t first, int count) {
    pack_rows(w, w.query, w.query_stride, first, count, w.queries);
    if (w.position_query == nullptr) return;
    pack_rows(w, w.position_query, w.position_query_stride, first, count, w.position_queries);
  }

  // Rows at a fixed distance, so that the kernel reaches all of them from one address.
  static PROVIS_HOT void pack_rows(const HeadWork& w, const char* data, int64_t stride,
                                   int64_t first, int count, void* packed) {
    const int64_t pitch = depth_pitch(w);
    Packed* out = static_cast<Packed*>(packed);
    for (int r = 0; r < (count + kRows - 1) / kRows * kRows; ++r, out += kQueryPitch) {
      if (r >= count) {
        std::memset(out, 0, static_cast<size_t>(pitch) * sizeof(Packed));
        continue;
      }
      load_row<S>(w, data, stride, first + r, out, pitch);
      if constexpr (!S::kHalf) {
        const Vec scale = S::set1(static_cast<Real>(w.scale * kLog2E));
        for (int64_t d = 0; d < pitch; d += kLanes) {
          S::store(out + d, S::mul(S::load(out + d), scale));
        }
      }
    }
  }
};

}  // namespace
}  // namespace provis::cpu
