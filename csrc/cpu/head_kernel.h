// Attention with statistics for one (sequence, head), for any instruction set S.
//
// Queries are taken in blocks of kRows. For each block
//   1. scores of all keys, tile by tile (kRows x 2 vectors of keys in registers), go to a strip
//      [tiles, kRows, kTile] that stays in the second-level cache; the row maxima come with them;
//   2. the strip becomes p = exp(score - maximum), and the row sums are known exactly;
//   3. output = p V / sum;
//   4. statistics are read off the strip with a = p / sum final (statistics.h): no candidate has
//      to be revised, and a row whose largest a is below the threshold is not even looked at.
// Scores are in units of log2: scale and biases carry log2(e), so that step 2 is 2^x.
// How keys, values and queries are laid out: packing.h.
#pragma once

#include <cmath>
#include <type_traits>

#if defined(__AMX_BF16__)
#include "cpu/amx.h"
#endif
#include "cpu/exponentials.h"
#include "cpu/packing.h"
#include "cpu/statistics.h"

namespace provis::cpu {
namespace {

template <class S>
struct HeadKernel : Packing<S> {
  using Real = typename S::Real;
  using Vec = typename S::Vec;
  using Packed = typename S::Packed;
  static constexpr int kRows = S::kRows;
  static constexpr int kLanes = S::kLanes;
  static constexpr int kTile = 2 * kLanes;
  static constexpr int kPair = S::kHalf ? 2 : 1;
  static constexpr int kQueryPitch = Packing<S>::kQueryPitch;
  static constexpr int kGroup = kRows % 4 == 0 ? 4 : 3;
#if defined(__AMX_BF16__)
  using Products = std::conditional_t<S::kTiles, Amx, HeadKernel<S>>;
#else
  using Products = HeadKernel<S>;
#endif

  // Output that step 2 has made already: none here.
  struct Mixed {};

  // Step 1. most[r] receives the lane-wise maxima of row r.
  static PROVIS_HOT void scores(const HeadWork& w, Vec* most) {
    const int64_t pitch = Packing<S>::depth_pitch(w);
    const int steps = (w.depth + kPair - 1) / kPair;
    const Packed* q = static_cast<const Packed*>(w.packed_query);
    const Packed* k = static_cast<const Packed*>(w.packed_key);
    const Real* bias = static_cast<const Real*>(w.key_bias);
    Real* strip = static_cast<Real*>(w.strip);
    for (int64_t t = 0; t < w.tiles; ++t, k += pitch * kTile, strip += kRows * kTile) {
      Vec acc[kRows][2];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = S::set1(0);
      for (int d = 0; d < steps; ++d) {
        const Vec k0 = S::load_packed(k + d * kTile);
        const Vec k1 = S::load_packed(k + d * kTile + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vec x = S::broadcast(q + r * kQueryPitch + d);
          acc[r][0] = S::dot(x, k0, acc[r][0]);
          acc[r][1] = S::dot(x, k1, acc[r][1]);
        }
      }
      if constexpr (S::kHalf) {
        const Vec scale = S::set1(static_cast<Real>(w.scale * kLog2E));
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          acc[r][0] = S::mul(acc[r][0], scale);
          acc[r][1] = S::mul(acc[r][1], scale);
        }
      }
      if (w.tile_has_bias[t] != 0) {
        const Vec b0 = S::load(bias + t * kTile);
        const Vec b1 = S::load(bias + t * kTile + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          acc[r][0] = S::add(acc[r][0], b0);
          acc[r][1] = S::add(acc[r][1], b1);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        S::store(strip + r * kTile, acc[r][0]);
        S::store(strip + r * kTile + kLanes, acc[r][1]);
        most[r] = S::max(most[r], S::max(acc[r][0], acc[r][1]));
      }
    }
  }

  // The bias depends on j - i alone: a vector per head, of which each row reads a window.
  static void add_relative_bias(const HeadWork& w, int64_t first, Vec* most) {
    Real* strip = static_cast<Real*>(w.strip);
    const double factor = Packing<S>::bias_factor(w);
    for (int r = 0; r < kRows && first + r < w.n; ++r) {
      const float* bias = w.relative_bias - (first + r);
      most[r] = S::set1(-INFINITY);
      for (int64_t t = 0; t < w.tiles; ++t) {
        Real* row = strip + (t * kRows + r) * kTile;
        for (int c = 0; c < kTile; ++c) {
          const int64_t j = t * kTile + c;
          if (j < w.keys) row[c] += static_cast<Real>(bias[j] * factor);
        }
        most[r] = S::max(most[r], S::max(S::load(row), S::load(row + kLanes)));
      }
    }
  }

  // Step 2. sum[r] = sum of p; with_entropy: moment[r] = sum of p * (score - maximum).
  template <bool kEntropy>
  static PROVIS_HOT void exponentials(const HeadWork& w, const Real* maximum, Real* sum,
                                      Real* moment, Mixed&) {
    const Vec unit = S::set1(score_unit<S>(w));
    for (int group = 0; group < kRows; group += kGroup) {
      Vec total[kGroup], entropy[kGroup], most[kGroup];
#pragma GCC unroll 4
      for (int g = 0; g < kGroup; ++g) {
        total[g] = entropy[g] = S::set1(0);
        most[g] = S::set1(maximum[group + g]);
      }
      Real* strip = static_cast<Real*>(w.strip) + group * kTile;
      uint32_t* half = S::kHalf ? w.half_strip + group * kLanes : nullptr;
      for (int64_t t = 0; t < w.tiles; ++t, strip += kRows * kTile) {
#pragma GCC unroll 4
        for (int g = 0; g < kGroup; ++g) {
          to_weights<S, kEntropy>(strip + g * kTile, S::kHalf ? half + g * kLanes : nullptr,
                                  most[g], unit, total[g], entropy[g]);
        }
        if constexpr (S::kHalf) half += kRows * kLanes;
      }
      S::reduce_add(total, kGroup, sum + group);
      if constexpr (kEntropy) S::reduce_add(entropy, kGroup, moment + group);
    }
  }

  // Step 3 for kVectors vectors of columns from `column` on.
  template <int kVectors>
  static PROVIS_HOT void mix_columns(const HeadWork& w, int64_t first, int count, int column,
                                     const Real* inverse) {
    Vec acc[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) acc[r][v] = S::set1(0);
    }
    constexpr int kSteps = kTile / kPair;
    const Packed* p = S::kHalf ? reinterpret_cast<const Packed*>(w.half_strip)
                               : static_cast<const Packed*>(w.strip);
    const Packed* v = static_cast<const Packed*>(w.packed_value) + column;
    int64_t left = (w.keys + kPair - 1) / kPair;
    for (int64_t t = 0; t < w.tiles; ++t, p += kRows * kSteps, left -= kSteps) {
      const int steps = static_cast<int>(left < kSteps ? left : kSteps);
      for (int j = 0; j < steps; ++j, v += w.width) {
        Vec x[kVectors];
#pragma GCC unroll 2
        for (int c = 0; c < kVectors; ++c) x[c] = S::load_packed(v + c * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vec weight = S::broadcast(p + r * kSteps + j);
#pragma GCC unroll 2
          for (int c = 0; c < kVectors; ++c) acc[r][c] = S::dot(weight, x[c], acc[r][c]);
        }
      }
    }
    const int columns = w.depth - column;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      if (r >= count) break;
      const Vec scale = S::set1(inverse[r]);
#pragma GCC unroll 2
      for (int c = 0; c < kVectors; ++c) {
        store_vector<S>(w, first + r, column + c * kLanes, columns - c * kLanes,
                        S::mul(acc[r][c], scale));
      }
    }
  }

  static void mix(const HeadWork& w, int64_t first, int count, const Real* inverse, const Mixed&) {
    int column = 0;
    for (; column + 2 * kLanes <= w.width; column += 2 * kLanes) {
      mix_columns<2>(w, first, count, column, inverse);
    }
    if (column < w.width) mix_columns<1>(w, first, count, column, inverse);
  }

  // Brings the same rows of the next head, likely this thread's next, into the cache meanwhile:
  // a head's rows lie a token apart, where no hardware prefetcher follows.
  static void prefetch_next_head(const HeadWork& w, int64_t first, int count) {
    const int64_t element = element_bytes(w.dtype);
    const auto prefetch = [&](const char* data, int64_t stride, int64_t next) {
      if (next == 0) return;
      for (int r = 0; r < count; ++r) {
        const char* row = data + ((first + r) * stride + next) * element;
        for (int64_t at = 0; at < w.depth * element; at += 64) __builtin_prefetch(row + at, 0, 2);
      }
    };
    prefetch(w.query, w.query_stride, w.next_query);
    prefetch(w.key, w.key_stride, w.next_key);
    prefetch(w.value, w.value_stride, w.next_value);
  }

  // Only tile registers have to be set up for a thread.
  static constexpr auto begin() -> void (*)(void*) {
    if constexpr (S::kTiles) return &Products::begin;
    return nullptr;
  }
  static constexpr auto end() -> void (*)(const void*) {
    if constexpr (S::kTiles) return &Products::end;
    return nullptr;
  }

  static void block(HeadWork& w, int64_t first, int count) {
    Packing<S>::pack_queries(w, first, count);
    prefetch_next_head(w, first, count);
    Vec most[kRows];
    for (int r = 0; r < kRows; ++r) most[r] = S::set1(-INFINITY);
    Products::scores(w, most);
    if (w.relative_bias != nullptr) add_relative_bias(w, first, most);

    Real maximum[kRows], sum[kRows], moment[kRows], inverse[kRows], weight[kRows];
    S::reduce_max(most, kRows, maximum);
    for (int r = 0; r < kRows; ++r) {
      if (maximum[r] == -INFINITY) maximum[r] = 0;  // nothing allowed: all p are 0
    }
    typename Products::Mixed mixed;
    if (w.wants_entropy) {
      Products::template exponentials<true>(w, maximum, sum, moment, mixed);
    } else {
      Products::template exponentials<false>(w, maximum, sum, moment, mixed);
    }
    for (int r = 0; r < kRows; ++r) inverse[r] = sum[r] == 0 ? 0 : 1 / sum[r];
    if (w.value != nullptr) Products::mix(w, first, count, inverse, mixed);
    if (w.lse != nullptr) {
      const double unit = kLn2 * static_cast<double>(score_unit<S>(w));
      for (int r = 0; r < count; ++r) {
        const double lse =
            sum[r] == 0 ? -INFINITY : unit * static_cast<double>(maximum[r]) + std::log(sum[r]);
        static_cast<Real*>(w.lse)[first + r] = static_cast<Real>(lse);
      }
    }

    // Rows that count: residues with finite scores. The others weigh nothing from here on; NaN
    // has to leave the strip, as 0 * NaN is not 0.
    bool any = false;
    double product = 1, bits = 0;
    for (int r = 0; r < kRows; ++r) {
      const bool live = r < count && is_allowed(w, first + r);
      const bool finite = std::isfinite(sum[r]) && std::isfinite(maximum[r]);
      if (live && !finite) w.not_finite = true;
      weight[r] = live && finite && w.counted[first + r] ? inverse[r] : 0;
      any |= weight[r] != 0;
      if (!finite) Statistics<S>::clear_row(w, r);
      if (w.wants_entropy && weight[r] != 0) {
        // One logarithm for the block: a row's sum lies between 1 and the number of keys, so that
        // the product of a block's is far from overflow.
        product *= static_cast<double>(sum[r]);
        bits += static_cast<double>(moment[r] * inverse[r]);
      }
    }
    if (w.wants_entropy) w.entropy += to_fixed(std::log(product) - kLn2 * bits);
    if (any) Statistics<S>::block(w, first, weight);
  }
};

template <class S>
const KernelTable* kernel_table() {
  using K = HeadKernel<S>;
  static constexpr KernelTable table = {S::kName,
                                        K::kTile,
                                        K::kRows,
                                        K::kLanes,
                                        static_cast<int>(sizeof(typename S::Real)),
                                        K::kPair,
                                        K::kQueryPitch,
                                        &Statistics<S>::window_pitch,
                                        &K::pack,
                                        &K::block,
                                        K::begin(),
                                        K::end()};
  return &table;
}

}  // namespace
}  // namespace provis::cpu
