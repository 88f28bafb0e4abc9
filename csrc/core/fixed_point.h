// Sums as integers: the same in any order.
//
// Weights of one block are added in units of 2^-55, in which a float of 2^-32 or more is exact and
// the 128 queries of a block, whose weights sum to 1 each, stay below 2^62. What a block found is
// rounded once to the accumulators' units of 2^-32.
#pragma once

#include <cstdint>

#include "core/channels.h"

namespace provis {

constexpr int kFineBits = 55;
constexpr int kFixedBits = 32;
constexpr float kLog2E = 1.44269504f;

static PROVIS_HD int64_t fine_of(float weight) {
  return static_cast<int64_t>(weight * 36028797018963968.0f);  // 2^55: exact but for the cut
}

static PROVIS_HD int64_t fine_of(double weight) {
  return static_cast<int64_t>(weight * 36028797018963968.0);
}

static PROVIS_HD int64_t fixed_of_fine(int64_t fine) {
  constexpr int kShift = kFineBits - kFixedBits;
  return (fine + (int64_t{1} << (kShift - 1))) >> kShift;
}

static PROVIS_HD int64_t fixed_of(double x) {
  x *= 4294967296.0;
  return static_cast<int64_t>(x >= 0 ? x + 0.5 : x - 0.5);
}

// weight (2^-32) times value (2^-16), rounded to 2^-32. The product takes 128 bits.
static PROVIS_HD int64_t weighted_value(int64_t weight, int64_t value) {
  __extension__ typedef __int128 Wide;
  return static_cast<int64_t>((static_cast<Wide>(weight) * value + (1 << 15)) >> 16);
}

// A 64-bit counter in shared memory as two halves: 32-bit additions are single instructions there,
// 64-bit ones a loop of comparisons. The lower half wraps around under exactly one of its
// additions, and that one carries.
struct Counters {
  uint32_t* low;
  uint32_t* high;

  template <class Gpu>
  PROVIS_HD void add(const Gpu& gpu, int slot, int64_t amount) const {
    const uint32_t part = static_cast<uint32_t>(amount);
    const uint32_t before = gpu.add_shared(low + slot, part);
    const uint32_t rest = static_cast<uint32_t>(static_cast<uint64_t>(amount) >> 32) +
                          (before + part < before ? 1u : 0u);
    if (rest != 0) gpu.add_shared(high + slot, rest);
  }

  // Only where nobody adds: after a barrier.
  PROVIS_HD int64_t at(int slot) const {
    return static_cast<int64_t>(static_cast<uint64_t>(high[slot]) << 32 | low[slot]);
  }
};

// e^x for x <= 0, to two units in the last place, by additions and multiplications alone: listed
// weights are the same in every kernel, and the threshold pass needs no special function.
template <class Gpu>
PROVIS_HD float exp_of(const Gpu& gpu, float x) {
  if (!(x > -87.0f)) return 0.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it becomes an integer
  const float shifted = gpu.fma(x, kLog2E, kRound);
  const float whole = shifted - kRound;
  float r = gpu.fma(whole, -0.693145752f, x);  // ln 2 in two parts: the first has 15 bits
  r = gpu.fma(whole, -1.42860677e-6f, r);
  float power = 1.98412698e-4f;  // 1 / 7!
  power = gpu.fma(power, r, 1.38888889e-3f);
  power = gpu.fma(power, r, 8.33333333e-3f);
  power = gpu.fma(power, r, 4.16666667e-2f);
  power = gpu.fma(power, r, 1.66666667e-1f);
  power = gpu.fma(power, r, 0.5f);
  power = gpu.fma(power, r, 1.0f);
  power = gpu.fma(power, r, 1.0f);
  return gpu.scaled(power, static_cast<int>(whole));
}

}  // namespace provis
