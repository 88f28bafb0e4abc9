// Softmax of rows whose scores come tile by tile, as in FlashAttention (Dao et al., 2022).
//
// Of each row a lane keeps the largest score so far, the same in the four lanes that share the row,
// and the sum of its own terms 2^(c score - r), where c = unit / ln 2 turns scores into binary
// logarithms and r is c times the largest score, rounded once. Everything is relative to that
// rounded r, so that its error, which scores of 50 would make 4e-6, cancels.
//
// NaN among the scores becomes NaN in the maximum, the sum and the log-sum-exp, and stays.
#pragma once

#include "core/fixed_point.h"
#include "core/fragment.h"

namespace provis {

constexpr float kLn2 = 0.693147181f;

struct OnlineRow {
  float most = -INFINITY;
  float sum = 0;  // the lane's
};

// r of a maximum; 0 where nothing may be attended yet, so that terms are 2^-inf and not NaN.
template <class Gpu>
PROVIS_HD float reference_of(const Gpu& gpu, float most, float per_unit) {
  return most == -INFINITY ? 0.0f : gpu.multiply_rounded(most, per_unit);
}

// Largest score of row g (row = 0) or g + 8 (row = 1) in this tile, for the four lanes alike.
template <class Gpu>
PROVIS_HD float row_maximum(const Gpu& gpu, const float (&scores)[kLaneElements], int row) {
  float most = -INFINITY;
  PROVIS_UNROLL
  for (int n = 0; n < 8; ++n) {
    most = gpu.max_nan(most, scores[4 * n + 2 * row]);
    most = gpu.max_nan(most, scores[4 * n + 2 * row + 1]);
  }
  most = gpu.max_nan(most, gpu.shuffle_xor(most, 1));
  return gpu.max_nan(most, gpu.shuffle_xor(most, 2));
}

// Sum of the lane's terms of a row in this tile; kReplace puts them in the place of the scores.
template <bool kReplace, class Gpu, class Scores>
PROVIS_HD float sum_of_terms(const Gpu& gpu, Scores& scores, int row, float per_unit,
                             float reference) {
  float sum = 0;
  PROVIS_UNROLL
  for (int n = 0; n < 8; ++n) {
    PROVIS_UNROLL
    for (int b = 0; b < 2; ++b) {
      const int e = 4 * n + 2 * row + b;
      const float term = gpu.exp2(gpu.fma(scores[e], per_unit, -reference));
      if constexpr (kReplace) scores[e] = term;
      sum += term;
    }
  }
  return sum;
}

// Natural log-sum-exp of unit * score, from a row's maximum and the sum over its four lanes.
template <class Gpu>
PROVIS_HD float log_sum_exp(const Gpu& gpu, float most, float total, float unit, float per_unit) {
  if (most == -INFINITY) return -INFINITY;  // not where sums vanish: scores that overflow are NaN
  const float reference = reference_of(gpu, most, per_unit);
  const float lost = gpu.fma(most, per_unit, -reference);  // exact: what rounding took from r
  return gpu.fma(most, unit, gpu.fma(-lost, kLn2, gpu.log(total)));
}

}  // namespace provis
