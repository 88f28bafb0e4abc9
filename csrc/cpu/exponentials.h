// From scores to p = exp(score - maximum), two vectors of one row at a time.
#pragma once

#include "cpu/exp2.h"
#include "cpu/packing.h"

namespace provis::cpu {
namespace {

// What a number in the strip is worth in units of log2.
template <class S>
inline typename S::Real score_unit(const HeadWork& w) {
  return S::kTiles ? static_cast<typename S::Real>(w.scale * kLog2E) : typename S::Real{1};
}

// Replaces the scores of one row of a tile by p; adds p to `total` and p * log2(p) to `entropy`.
// `half` receives p as pairs of bf16 where products take them.
template <class S, bool kEntropy>
inline __attribute__((always_inline)) void to_weights(typename S::Real* row, uint32_t* half,
                                                      typename S::Vec most, typename S::Vec unit,
                                                      typename S::Vec& total,
                                                      typename S::Vec& entropy) {
  using Vec = typename S::Vec;
  const Vec least = S::set1(kLeastExponent<typename S::Real>);
  Vec x0 = S::sub(S::load(row), most);
  Vec x1 = S::sub(S::load(row + S::kLanes), most);
  if constexpr (S::kTiles) {
    x0 = S::mul(x0, unit);
    x1 = S::mul(x1, unit);
  }
  // NaN must survive the clamp: max returns its second operand then.
  x0 = S::max(least, x0);
  x1 = S::max(least, x1);
  const Vec p0 = S::exp2(x0);
  const Vec p1 = S::exp2(x1);
  if constexpr (kEntropy) {
    entropy = S::fma(p0, x0, entropy);
    entropy = S::fma(p1, x1, entropy);
  }
  total = S::add(total, S::add(p0, p1));
  S::store(row, p0);
  S::store(row + S::kLanes, p1);
  if constexpr (S::kHalf) S::store_half(half, p0, p1);
}

}  // namespace
}  // namespace provis::cpu
