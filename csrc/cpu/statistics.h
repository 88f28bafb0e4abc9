// Statistics of one block of queries, read off its strip of p = exp(score - maximum).
//
// a[i, j] = p * weight[i], with weight = 1 / sum for rows that count and 0 for the others. Arcs are
// exact integers. Attention-weighted sums are taken over the block in a fixed order and then
// rounded to multiples of 2^-32, so that adding them up is integer addition, the same in any order.
#pragma once

#include <cmath>
#include <cstring>

#include "cpu/head_work.h"

namespace provis::cpu {
namespace {

constexpr double kFixedPoint = 4294967296.0;  // 2^32

inline int64_t to_fixed(double x) { return static_cast<int64_t>(std::nearbyint(x * kFixedPoint)); }

template <class S>
struct Statistics {
  using Real = typename S::Real;
  using Vec = typename S::Vec;
  static constexpr int kRows = S::kRows;
  static constexpr int kLanes = S::kLanes;
  static constexpr int kTile = 2 * kLanes;
  static constexpr uint32_t kLaneBits = (1u << kLanes) - 1;

  static Real* row_of(const HeadWork& w, int64_t tile, int r) {
    return static_cast<Real*>(w.strip) + (tile * kRows + r) * kTile;
  }

  static void clear_row(const HeadWork& w, int r) {
    for (int64_t t = 0; t < w.tiles; ++t) std::memset(row_of(w, t, r), 0, kTile * sizeof(Real));
  }

  static void block(HeadWork& w, int64_t first, const Real* weight) {
    if (w.arc_counts != nullptr || w.arc_index != nullptr) arcs(w, first, weight);
    if (w.columns != nullptr) column_sums(w, weight);
    if (w.mass == nullptr) return;
    if (w.diagonals != nullptr) diagonal_sums(w, first, weight);
    bool row_mass_known = false;
    for (int p = 0; p < w.n_properties; ++p) {
      const SequenceProperty& property = w.properties[p];
      if (property.kind == PropertyKind::kQueryClass) {
        if (!row_mass_known) row_masses(w, weight);
        row_mass_known = true;
        query_class(w, property, first);
      } else if (property.kind == PropertyKind::kClassPair) {
        class_pairs(w, property, first, weight);
      } else if (property.kind == PropertyKind::kPair) {
        pairs(w, property, first, weight);
      }
    }
  }

  // Step 1: a >= theta. The largest a of a row is its weight, as the largest p is 1.
  static __attribute__((noinline)) void arcs(HeadWork& w, int64_t first, const Real* weight) {
    const Real theta = static_cast<Real>(w.least_threshold);
    const Vec least = S::set1(theta);
    for (int r = 0; r < kRows; ++r) {
      if (!(weight[r] >= theta)) continue;
      const Vec scale = S::set1(weight[r]);
      for (int64_t t = 0; t < w.tiles; ++t) {
        const Real* row = row_of(w, t, r);
        const uint32_t low = S::at_least(S::mul(S::load(row), scale), least);
        const uint32_t high = S::at_least(S::mul(S::load(row + kLanes), scale), least);
        uint32_t found = (low | high << kLanes) & w.residue_bits[t];
        for (; found != 0; found &= found - 1) {
          const int c = __builtin_ctz(found);
          add_arc(w, first + r, t * kTile + c, row[c] * weight[r]);
        }
      }
    }
  }

  static void add_arc(HeadWork& w, int64_t i, int64_t j, Real a) {
    if (w.arc_counts != nullptr) {
      for (int t = 0; t < w.n_thresholds; ++t) {
        if (!(a >= static_cast<Real>(w.thresholds[t]))) continue;
        int64_t* counts = w.arc_counts + static_cast<int64_t>(t) * w.channels;
        ++counts[0];
        for (int p = 0; p < w.n_properties; ++p) {
          add_pair(w.properties[p], i, j,
                   [counts](int channel, int64_t amount) { counts[channel] += amount; });
        }
      }
    }
    if (w.arc_index == nullptr) return;
    const int64_t at = __atomic_fetch_add(w.arc_total, 1, __ATOMIC_RELAXED);
    if (at >= w.arc_capacity) {
      w.arc_overflow = true;
      return;
    }
    int32_t* entry = w.arc_index + 4 * at;
    entry[0] = w.sequence;
    entry[1] = w.head;
    entry[2] = static_cast<int32_t>(i);
    entry[3] = static_cast<int32_t>(j);
    w.arc_weight[at] = static_cast<float>(a);
  }

  // Adds `count` partial sums to fixed-point totals. Adding 1.5 * 2^52 rounds a double to an
  // integer that can be read off its bits; it holds up to 2^51, and a block's sum is below 2^36.
  static void add_fixed(const Real* sums, int count, int64_t* totals) {
    constexpr double kMagic = 6755399441055744.0;
    int64_t magic_bits;
    std::memcpy(&magic_bits, &kMagic, sizeof magic_bits);
    for (int c = 0; c < count; ++c) {
      const double biased = static_cast<double>(sums[c]) * kFixedPoint + kMagic;
      int64_t bits;
      std::memcpy(&bits, &biased, sizeof bits);
      totals[c] += bits - magic_bits;
    }
  }

  // Attention received by each key. Keys that are no residues are dropped by the driver.
  static __attribute__((noinline)) void column_sums(HeadWork& w, const Real* weight) {
    Vec scale[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) scale[r] = S::set1(weight[r]);
    for (int64_t t = 0; t < w.tiles; ++t) {
      const Real* row = row_of(w, t, 0);
      Vec sum0 = S::set1(0);
      Vec sum1 = S::set1(0);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sum0 = S::fma(S::load(row + r * kTile), scale[r], sum0);
        sum1 = S::fma(S::load(row + r * kTile + kLanes), scale[r], sum1);
      }
      Real sums[kTile];
      S::store(sums, sum0);
      S::store(sums + kLanes, sum1);
      add_fixed(sums, kTile, w.columns + t * kTile);
    }
  }

  // Attention by j - i, for |j - i| <= reach: the window of keys around each row is laid out
  // flat, residues only, and the windows are added up shifted against each other.
  static __attribute__((noinline)) void diagonal_sums(HeadWork& w, int64_t first,
                                                      const Real* weight) {
    const int64_t offsets = 2 * w.reach + 1;
    const int64_t begin = floor_tile(first - w.reach);
    const int64_t end = floor_tile(first + kRows - 1 + w.reach) + kTile;
    // Beyond the last window a vector may read up to kLanes numbers; they are not used.
    const int64_t pitch = window_pitch(w.reach);
    Real* windows = static_cast<Real*>(w.windows);
    for (int r = 0; r < kRows; ++r) {
      Real* out = windows + r * pitch;
      for (int64_t j = begin; j < end; j += kTile, out += kTile) {
        const int64_t t = j / kTile;
        const bool inside = j >= 0 && t < w.tiles;
        const uint32_t bits = inside ? w.residue_bits[t] : 0;
        const Real* row = inside ? row_of(w, t, r) : row_of(w, 0, 0);
        S::store(out, S::add_where(S::set1(0), bits & kLaneBits, S::load(row)));
        S::store(out + kLanes, S::add_where(S::set1(0), bits >> kLanes, S::load(row + kLanes)));
      }
    }
    for (int64_t k = 0; k < offsets; k += kLanes) {
      Vec sum = S::set1(0);
      for (int r = 0; r < kRows; ++r) {
        const Real* window = windows + r * pitch + (first + r - w.reach - begin);
        sum = S::fma(S::load(window + k), S::set1(weight[r]), sum);
      }
      Real sums[kLanes];
      S::store(sums, sum);
      const int64_t left = offsets - k < kLanes ? offsets - k : kLanes;
      add_fixed(sums, static_cast<int>(left), w.diagonals + k);
    }
  }

  // Room for whole tiles around 2 * reach + kRows keys, and for a vector beyond.
  static int64_t window_pitch(int64_t reach) {
    return (2 * reach + kRows) / kTile * kTile + 3 * kTile;
  }

  static int64_t floor_tile(int64_t j) { return (j >= 0 ? j : j - kTile + 1) / kTile * kTile; }

  static Vec add_residues(Vec sum, const Real* row, uint32_t bits) {
    sum = S::add_where(sum, bits & kLaneBits, S::load(row));
    return S::add_where(sum, bits >> kLanes, S::load(row + kLanes));
  }

  // Sum of the rows' lanes times the rows' weights, each row rounded by itself.
  static int64_t row_total(const Vec* rows, const Real* weight) {
    Real sums[kRows];
    S::reduce_add(rows, kRows, sums);
    int64_t total = 0;
    for (int r = 0; r < kRows; ++r) {
      total += to_fixed(static_cast<double>(sums[r]) * static_cast<double>(weight[r]));
    }
    return total;
  }

  static __attribute__((noinline)) void row_masses(HeadWork& w, const Real* weight) {
    Vec rows[kRows];
    for (int r = 0; r < kRows; ++r) {
      rows[r] = S::set1(0);
      if (weight[r] == 0) continue;
      for (int64_t t = 0; t < w.tiles; ++t) {
        rows[r] = add_residues(rows[r], row_of(w, t, r), w.residue_bits[t]);
      }
    }
    Real sums[kRows];
    S::reduce_add(rows, kRows, sums);
    for (int r = 0; r < kRows; ++r) w.row_mass[r] = static_cast<double>(sums[r] * weight[r]);
  }

  static void query_class(HeadWork& w, const SequenceProperty& property, int64_t first) {
    for (int r = 0; r < kRows && first + r < w.n; ++r) {
      const int label = property.labels[first + r];
      if (label < 0) continue;
      const int64_t fixed = to_fixed(w.row_mass[r]);
      w.mass[property.channel] += fixed;
      if (label < property.classes) w.mass[property.channel + 1 + label] += fixed;
    }
  }

  static __attribute__((noinline)) void class_pairs(HeadWork& w, const SequenceProperty& property,
                                                    int64_t first, const Real* weight) {
    const int side = property.side;
    double* sums = w.class_mass;  // one per class, then known of no class, then unknown
    for (int r = 0; r < kRows; ++r) {
      if (weight[r] == 0) continue;
      const int label = property.labels[first + r];
      if (label < 0) continue;
      for (int c = 0; c < side + 2; ++c) sums[c] = 0;
      for (int64_t t = 0; t < w.tiles; ++t) {
        const Real* row = row_of(w, t, r);
        const int16_t* labels = property.labels + t * kTile;
        for (uint32_t bits = w.residue_bits[t]; bits != 0; bits &= bits - 1) {
          const int c = __builtin_ctz(bits);
          const int of_key = labels[c] < 0 ? side + 1 : labels[c] < side ? labels[c] : side;
          sums[of_key] += static_cast<double>(row[c]);
        }
      }
      int64_t known = 0;
      for (int c = 0; c <= side; ++c) {
        const int64_t fixed = to_fixed(sums[c] * static_cast<double>(weight[r]));
        known += fixed;
        if (c < side && label < side) w.mass[property.channel + 1 + label * side + c] += fixed;
      }
      w.mass[property.channel] += known;
    }
  }

  // Bits of the bitmap row for one tile of keys.
  static uint32_t tile_bits(const uint32_t* words, int64_t tile) {
    const int64_t bit = tile * kTile;
    return words[bit >> 5] >> (bit & 31);
  }

  static __attribute__((noinline)) void pairs(HeadWork& w, const SequenceProperty& property,
                                              int64_t first, const Real* weight) {
    Vec known[kRows], sum[kRows];
    for (int r = 0; r < kRows; ++r) {
      known[r] = sum[r] = S::set1(0);
      if (weight[r] == 0) continue;
      const uint32_t* valid = property.valid + (first + r) * property.words;
      const uint32_t* set = property.set + (first + r) * property.words;
      // Low and high lanes apart: four chains of additions instead of two. Bits are set as they
      // please, so nothing branches on them.
      Vec known0 = S::set1(0), known1 = S::set1(0), sum0 = S::set1(0), sum1 = S::set1(0);
      for (int64_t t = 0; t < w.tiles; ++t) {
        const Real* row = row_of(w, t, r);
        const Vec p0 = S::load(row);
        const Vec p1 = S::load(row + kLanes);
        const uint32_t bits = tile_bits(valid, t) & w.residue_bits[t];
        known0 = S::add_where(known0, bits & kLaneBits, p0);
        known1 = S::add_where(known1, bits >> kLanes, p1);
        const uint32_t on = tile_bits(set, t) & bits;
        sum0 = S::add_where(sum0, on & kLaneBits, p0);
        sum1 = S::add_where(sum1, on >> kLanes, p1);
      }
      known[r] = S::add(known0, known1);
      sum[r] = S::add(sum0, sum1);
    }
    int64_t* mass = w.mass + property.channel;
    mass[0] += row_total(known, weight);
    mass[1] += row_total(sum, weight);
  }
};

}  // namespace
}  // namespace provis::cpu
