// Attention with statistics for one (sequence, head), for any instruction set S.
//
// Queries are taken in blocks of kRows, and where packed keys and values do not fit into the
// second-level cache in bands of several blocks, which share each chunk of them. For each block
//   1. scores of all keys, tile by tile (kRows x 2 vectors of keys in registers), go to a strip
//      [tiles, kRows, kTile] that stays in the second-level cache; the row maxima come with them;
//      what depends on j - i is added, and the window cut out, while they are there (offsets.h);
//   2. the strip becomes p = exp(score - maximum), and the row sums are known exactly;
//   3. output = p V / sum;
//   4. statistics are read off the strip with a = p / sum final (statistics.h): no candidate has
//      to be revised, and a row whose largest a is below the threshold is not even looked at.
// Scores are in units of log2: scale and biases carry log2(e), so that step 2 is 2^x.
// How keys, values and queries are laid out: packing.h. Of a window's keys only the tiles within
// reach of the band are computed, stored and read, at their places in buffers for all keys.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#if defined(__AMX_BF16__)
#include "cpu/amx.h"
#endif
#include "cpu/exponentials.h"
#include "cpu/offsets.h"
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
  static constexpr int kMaxBand = S::kTiles ? 1 : provis::cpu::kMaxBand;
  static constexpr int kGroup = kRows % 4 == 0 ? 4 : 3;
#if defined(__AMX_BF16__)
  using Products = std::conditional_t<S::kTiles, Amx, HeadKernel<S>>;
#else
  using Products = HeadKernel<S>;
#endif

  // Output that step 2 has made already: none here.
  struct Mixed {};

  // One block of a band, from step to step.
  struct Block {
    Vec most[kRows];
    Real maximum[kRows], sum[kRows], moment[kRows], inverse[kRows];
    typename Products::Mixed mixed;
  };

  // Step 1 for key tiles begin to end. most[r] receives the lane-wise maxima of row r. Without
  // kMasks the products alone are stored, and there are no maxima.
  template <bool kMasks>
  static PROVIS_HOT void scores(const HeadWork& w, const Operands& of, int64_t begin, int64_t end,
                                Vec* most) {
    const int64_t pitch = Packing<S>::depth_pitch(w);
    const int steps = (w.depth + kPair - 1) / kPair;
    const Packed* q = static_cast<const Packed*>(of.rows);
    const Packed* k = static_cast<const Packed*>(of.keys) + begin * pitch * kTile;
    const Real* bias = static_cast<const Real*>(w.key_bias);
    Real* strip = static_cast<Real*>(of.strip) + begin * kRows * kTile;
    for (int64_t t = begin; t < end; ++t, k += pitch * kTile, strip += kRows * kTile) {
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
      if (kMasks && w.tile_has_bias[t] != 0) {
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
        if constexpr (kMasks) most[r] = S::max(most[r], S::max(acc[r][0], acc[r][1]));
      }
    }
  }

  // Step 1 of one block, with all terms of the score.
  static void block_scores(const HeadWork& w, int64_t first, int64_t begin, int64_t end,
                           Vec* most) {
    const Operands of{w.packed_query, w.packed_key, w.strip};
    if (!Offsets<S>::any(w)) {
      Products::template scores<true>(w, of, begin, end, most);
      return;
    }
    Vec unfinished[kRows];
    for (Vec& row : unfinished) row = S::set1(-INFINITY);
    Products::template scores<true>(w, of, begin, end, unfinished);
    PositionTiles tiles{};
    if (w.position_query != nullptr) {
      tiles = Offsets<S>::position_tiles(w, first, begin, end);
      const int64_t from = tiles.begin * Packing<S>::depth_pitch(w) * kTile;
      const Packed* keys = static_cast<const Packed*>(w.packed_positions) + from;
      Products::template scores<false>(w, {w.position_rows, keys, w.position_strip}, 0,
                                       tiles.end - tiles.begin, nullptr);
    }
    Offsets<S>::add(w, first, begin, end, tiles, most);
  }

  // Step 2. sum[r] = sum of p; with_entropy: moment[r] = sum of p * (score - maximum).
  template <bool kEntropy>
  static PROVIS_HOT void exponentials(const HeadWork& w, Block& block) {
    const Vec unit = S::set1(score_unit<S>(w));
    for (int group = 0; group < kRows; group += kGroup) {
      Vec total[kGroup], entropy[kGroup], most[kGroup];
#pragma GCC unroll 4
      for (int g = 0; g < kGroup; ++g) {
        total[g] = entropy[g] = S::set1(0);
        most[g] = S::set1(block.maximum[group + g]);
      }
      Real* strip = static_cast<Real*>(w.strip) + (w.band_begin * kRows + group) * kTile;
      uint32_t* half = S::kHalf ? w.half_strip + (w.band_begin * kRows + group) * kLanes : nullptr;
      for (int64_t t = w.band_begin; t < w.band_end; ++t, strip += kRows * kTile) {
#pragma GCC unroll 4
        for (int g = 0; g < kGroup; ++g) {
          to_weights<S, kEntropy>(strip + g * kTile, S::kHalf ? half + g * kLanes : nullptr,
                                  most[g], unit, total[g], entropy[g]);
        }
        if constexpr (S::kHalf) half += kRows * kLanes;
      }
      S::reduce_add(total, kGroup, block.sum + group);
      if constexpr (kEntropy) S::reduce_add(entropy, kGroup, block.moment + group);
    }
  }

  // Step 3 for kVectors vectors of columns from `column` on, and for key tiles begin to end. What
  // the tiles before have made stands in `partial`, where the tiles after find it.
  template <int kVectors>
  static PROVIS_HOT void mix_columns(const HeadWork& w, int64_t first, int count, int column,
                                     int64_t begin, int64_t end, Real* partial,
                                     const Real* inverse) {
    Vec acc[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int c = 0; c < kVectors; ++c) {
        acc[r][c] =
            begin == w.band_begin ? S::set1(0) : S::load(partial + (r * kVectors + c) * kLanes);
      }
    }
    constexpr int kSteps = kTile / kPair;
    const Packed* p = S::kHalf ? reinterpret_cast<const Packed*>(w.half_strip)
                               : static_cast<const Packed*>(w.strip);
    p += begin * kRows * kSteps;
    const Packed* v = static_cast<const Packed*>(w.packed_value) + column;
    v += begin * kSteps * w.width;
    int64_t left = (w.keys + kPair - 1) / kPair - begin * kSteps;
    for (int64_t t = begin; t < end; ++t, p += kRows * kSteps, left -= kSteps) {
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
    if (end < w.band_end) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int c = 0; c < kVectors; ++c) {
          S::store(partial + (r * kVectors + c) * kLanes, acc[r][c]);
        }
      }
      return;
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

  static void mix(HeadWork& w, int64_t first, int count, const Block* blocks, int n_blocks) {
    int column = 0;
    for (; column + 2 * kLanes <= w.width; column += 2 * kLanes) {
      mix_band<2>(w, first, count, column, blocks, n_blocks);
    }
    if (column < w.width) mix_band<1>(w, first, count, column, blocks, n_blocks);
  }

  template <int kVectors>
  static void mix_band(HeadWork& w, int64_t first, int count, int column, const Block* blocks,
                       int n_blocks) {
    int64_t t = w.band_begin;
    do {  // once even where there is no key: the output is zero then
      for (int b = 0; b < n_blocks; ++b) {
        select(w, b);
        Real* partial = static_cast<Real*>(w.partial) + b * kRows * kVectors * kLanes;
        mix_columns<kVectors>(w, first + b * kRows, rows_of(count, b), column, t,
                              std::min(t + w.chunk, w.band_end), partial, blocks[b].inverse);
      }
      t += w.chunk;
    } while (t < w.band_end);
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

  // Points the buffers of one block at those of block b of the band.
  static void select(HeadWork& w, int b) {
    const int64_t numbers = w.tiles * kTile * kRows;
    w.packed_query = static_cast<Packed*>(w.queries) + b * kRows * kQueryPitch;
    if (w.position_query != nullptr) {
      w.position_rows = static_cast<Packed*>(w.position_queries) + b * kRows * kQueryPitch;
    }
    w.strip = static_cast<Real*>(w.strips) + b * numbers;
    if (S::kHalf) w.half_strip = w.half_strips + b * (numbers / 2);
  }
  static int rows_of(int count, int b) { return std::min(kRows, count - b * kRows); }

  static void band(HeadWork& w, int64_t first, int count) {
    const int n_blocks = (count + kRows - 1) / kRows;
    Block blocks[kMaxBand];
    w.band_begin = w.task_begin;
    w.band_end = w.task_end;
    if (w.window > 0) {
      w.band_end = std::min(w.tiles, (first + count + w.window - 2) / kTile + 1);
      w.band_begin = std::min(w.band_end, std::max<int64_t>(0, first - w.window + 1) / kTile);
    }
    Packing<S>::pack_queries(w, first, count);
    prefetch_next_head(w, first, count);
    for (int b = 0; b < n_blocks; ++b) {
      for (Vec& most : blocks[b].most) most = S::set1(-INFINITY);
    }
    for (int64_t t = w.band_begin; t < w.band_end; t += w.chunk) {
      for (int b = 0; b < n_blocks; ++b) {
        select(w, b);
        block_scores(w, first + b * kRows, t, std::min(t + w.chunk, w.band_end), blocks[b].most);
      }
    }
    for (int b = 0; b < n_blocks; ++b) {
      select(w, b);
      weigh(w, blocks[b]);
    }
    if (w.value != nullptr) Products::mix(w, first, count, blocks, n_blocks);
    for (int b = 0; b < n_blocks; ++b) {
      select(w, b);
      finish(w, first + b * kRows, rows_of(count, b), blocks[b]);
    }
  }

  static void weigh(const HeadWork& w, Block& block) {
    S::reduce_max(block.most, kRows, block.maximum);
    for (Real& maximum : block.maximum) {
      if (maximum == -INFINITY) maximum = 0;  // nothing allowed: all p are 0
    }
    if (w.wants_entropy) {
      Products::template exponentials<true>(w, block);
    } else {
      Products::template exponentials<false>(w, block);
    }
    for (int r = 0; r < kRows; ++r) block.inverse[r] = block.sum[r] == 0 ? 0 : 1 / block.sum[r];
  }

  static void finish(HeadWork& w, int64_t first, int count, const Block& block) {
    const Real *maximum = block.maximum, *sum = block.sum, *inverse = block.inverse;
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
    Real weight[kRows];
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
        bits += static_cast<double>(block.moment[r] * inverse[r]);
      }
    }
    if (w.wants_entropy) w.entropy += to_fixed(std::log(product) - kLn2 * bits);
    if (any) Statistics<S>::block(w, first, weight);
  }
};

template <class S>
const KernelTable* kernel_table() {
  using K = HeadKernel<S>;
  static constexpr KernelTable table = {
      S::kName,   K::kTile,       K::kRows, K::kLanes, static_cast<int>(sizeof(typename S::Real)),
      K::kPair,   K::kQueryPitch, &K::pack, &K::band,  K::kMaxBand,
      K::begin(), K::end()};
  return &table;
}

}  // namespace
}  // namespace provis::cpu
