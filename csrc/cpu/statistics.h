// Statistics of one block of queries, read off its strip of p = exp(score - maximum).
//
// a[i, j] = p * weight[i], with weight = 1 / sum for rows that count and 0 for the others; keys
// that are no residues are wiped off the strip first. Arcs are exact integers. Attention-weighted
// sums are taken over the block in a fixed order and then rounded to multiples of 2^-32, so that
// adding them up is integer addition, the same in any order.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

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
  // Vectors of offsets that are summed together: the default bins of separation need three of 16.
  static constexpr int kShifted = 3;

  static Real* row_of(const HeadWork& w, int64_t tile, int r) {
    return static_cast<Real*>(w.strip) + (tile * kRows + r) * kTile;
  }

  static void clear_row(const HeadWork& w, int r) {
    for (int64_t t = w.band_begin; t < w.band_end; ++t)
      std::memset(row_of(w, t, r), 0, kTile * sizeof(Real));
  }

  static void block(HeadWork& w, int64_t first, const Real* weight) {
    wipe_others(w);
    if (w.arc_counts != nullptr || w.arc_index != nullptr) arcs(w, first, weight);
    bool columns_wanted = w.columns != nullptr;
    if (w.mass != nullptr) {
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
          const bool whole = first + kRows <= w.n;
          if (whole && columns_wanted) {
            pairs<true>(w, property, first, weight);
            columns_wanted = false;
          } else if (whole) {
            pairs<false>(w, property, first, weight);
          } else {
            pairs_of_last_rows(w, property, first, weight);
          }
        }
      }
    }
    if (columns_wanted) column_sums(w, weight);
  }

  // Sets p of keys that are no residues to 0: few tiles have any.
  static void wipe_others(HeadWork& w) {
    constexpr uint32_t kAll = static_cast<uint32_t>((uint64_t{1} << kTile) - 1);
    for (int64_t t = w.band_begin; t < w.band_end; ++t) {
      const uint32_t bits = w.residue_bits[t];
      if (bits == kAll) continue;
      for (int r = 0; r < kRows; ++r) {
        Real* row = row_of(w, t, r);
        S::store(row, S::add_where(S::set1(0), bits & kLaneBits, S::load(row)));
        S::store(row + kLanes, S::add_where(S::set1(0), bits >> kLanes, S::load(row + kLanes)));
      }
    }
  }

  // Step 1: a >= theta. The largest a of a row is its weight, as the largest p is 1.
  static __attribute__((noinline)) void arcs(HeadWork& w, int64_t first, const Real* weight) {
    const Real theta = threshold_of(w.least_threshold);
    const Vec least = S::set1(theta);
    for (int r = 0; r < kRows; ++r) {
      if (!(weight[r] >= theta)) continue;
      const Vec scale = S::set1(weight[r]);
      for (int64_t t = w.band_begin; t < w.band_end; ++t) {
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

  // Weights below the least normal number are zero here, and zero is never an arc.
  static Real threshold_of(double theta) {
    constexpr Real kLeast = std::numeric_limits<Real>::min();
    return static_cast<Real>(theta) < kLeast ? kLeast : static_cast<Real>(theta);
  }

  static void add_arc(HeadWork& w, int64_t i, int64_t j, Real a) {
    if (w.arc_counts != nullptr) {
      for (int t = 0; t < w.n_thresholds; ++t) {
        if (!(a >= threshold_of(w.thresholds[t]))) continue;
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

  // Attention received by each key.
  static __attribute__((noinline)) void column_sums(HeadWork& w, const Real* weight) {
    Vec scale[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) scale[r] = S::set1(weight[r]);
    for (int64_t t = w.band_begin; t < w.band_end; ++t) {
      const Real* row = row_of(w, t, 0);
      Vec sum0 = S::set1(0);
      Vec sum1 = S::set1(0);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sum0 = S::fma(S::load(row + r * kTile), scale[r], sum0);
        sum1 = S::fma(S::load(row + r * kTile + kLanes), scale[r], sum1);
      }
      add_columns(w, t, sum0, sum1);
    }
  }

  static void add_columns(HeadWork& w, int64_t tile, Vec sum0, Vec sum1) {
    Real sums[kTile];
    S::store(sums, sum0);
    S::store(sums + kLanes, sum1);
    add_fixed(sums, kTile, w.columns + tile * kTile);
  }

  // Attention by j - i, for |j - i| <= reach: rows are added up shifted against each other, a few
  // vectors of offsets at a time.
  static void diagonal_sums(HeadWork& w, int64_t first, const Real* weight) {
    const int64_t offsets = 2 * w.reach + 1;
    for (int64_t k = 0; k < offsets; k += kShifted * kLanes) {
      const int64_t from = first - w.reach + k;  // key of the first row's offset k
      const int64_t last = floor_to(from + kRows - 1, kLanes) / kLanes + kShifted;
      Vec sum[kShifted];
      if (from >= w.band_begin * kTile && last < 2 * w.band_end) {
        shifted_rows<true>(w, from, weight, sum);
      } else {
        shifted_rows<false>(w, from, weight, sum);
      }
      // Whole vectors: there is room for them, and offsets beyond the last are not read.
      for (int g = 0; g < kShifted && k + g * kLanes < offsets; ++g) {
        Real sums[kLanes];
        S::store(sums, sum[g]);
        add_fixed(sums, kLanes, w.diagonals + k + g * kLanes);
      }
    }
  }

  // sum[g] = sum over rows r of p[r, from + r + g * kLanes + lane] * weight[r].
  template <bool kInside>
  static __attribute__((noinline)) void shifted_rows(const HeadWork& w, int64_t from,
                                                     const Real* weight, Vec* sum) {
    Vec acc[kShifted];
#pragma GCC unroll 3
    for (int g = 0; g < kShifted; ++g) acc[g] = S::set1(0);
    for (int r = 0; r < kRows; ++r) {
      const int64_t j = from + r;
      const int64_t vector = floor_to(j, kLanes) / kLanes;
      const typename S::Shift shift = S::shift_by(static_cast<int>(j - vector * kLanes));
      const Vec scale = S::set1(weight[r]);
      Vec low = vector_of<kInside>(w, vector, r);
#pragma GCC unroll 3
      for (int g = 0; g < kShifted; ++g) {
        const Vec high = vector_of<kInside>(w, vector + g + 1, r);
        acc[g] = S::fma(S::shifted(low, high, shift), scale, acc[g]);
        low = high;
      }
    }
#pragma GCC unroll 3
    for (int g = 0; g < kShifted; ++g) sum[g] = acc[g];
  }

  // Keys vector * kLanes and following of row r; 0 outside of the strip.
  template <bool kInside>
  static Vec vector_of(const HeadWork& w, int64_t vector, int r) {
    if (!kInside && (vector < 2 * w.band_begin || vector >= 2 * w.band_end)) return S::set1(0);
    return S::load(row_of(w, vector >> 1, r) + (vector & 1) * kLanes);
  }

  static int64_t floor_to(int64_t j, int64_t unit) {
    return (j >= 0 ? j : j - unit + 1) / unit * unit;
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
      for (int64_t t = w.band_begin; t < w.band_end; ++t) {
        const Real* row = row_of(w, t, r);
        rows[r] = S::add(rows[r], S::add(S::load(row), S::load(row + kLanes)));
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
      for (int64_t t = w.band_begin; t < w.band_end; ++t) {
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

  // One pair property over a block of kRows rows; the attention that keys receive as well, where
  // asked for, as every p is at hand once.
  template <bool kColumns>
  static __attribute__((noinline)) void pairs(HeadWork& w, const SequenceProperty& property,
                                              int64_t first, const Real* weight) {
    Vec known[kRows], sum[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) known[r] = sum[r] = S::set1(0);
    const uint32_t* valid = property.valid + first * property.words;
    const uint32_t* set = property.set + first * property.words;
    for (int64_t t = w.band_begin; t < w.band_end; ++t) {
      const Real* row = row_of(w, t, 0);
      Vec sum0 = S::set1(0), sum1 = S::set1(0);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vec p0 = S::load(row + r * kTile);
        const Vec p1 = S::load(row + r * kTile + kLanes);
        if constexpr (kColumns) {
          const Vec scale = S::set1(weight[r]);
          sum0 = S::fma(p0, scale, sum0);
          sum1 = S::fma(p1, scale, sum1);
        }
        const int64_t words = r * property.words;
        S::add_pairs(tile_bits(valid + words, t), tile_bits(set + words, t), p0, p1, known[r],
                     sum[r]);
      }
      if constexpr (kColumns) add_columns(w, t, sum0, sum1);
    }
    int64_t* mass = w.mass + property.channel;
    mass[0] += row_total(known, weight);
    mass[1] += row_total(sum, weight);
  }

  // The same of a block with fewer than kRows rows.
  static __attribute__((noinline)) void pairs_of_last_rows(HeadWork& w,
                                                           const SequenceProperty& property,
                                                           int64_t first, const Real* weight) {
    Vec known[kRows], sum[kRows];
    for (int r = 0; r < kRows; ++r) {
      known[r] = sum[r] = S::set1(0);
      if (weight[r] == 0) continue;
      const uint32_t* valid = property.valid + (first + r) * property.words;
      const uint32_t* set = property.set + (first + r) * property.words;
      for (int64_t t = w.band_begin; t < w.band_end; ++t) {
        const Real* row = row_of(w, t, r);
        S::add_pairs(tile_bits(valid, t), tile_bits(set, t), S::load(row), S::load(row + kLanes),
                     known[r], sum[r]);
      }
    }
    int64_t* mass = w.mass + property.channel;
    mass[0] += row_total(known, weight);
    mass[1] += row_total(sum, weight);
  }
};

}  // namespace
}  // namespace provis::cpu
