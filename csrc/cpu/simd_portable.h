// Vectors of 16 bytes through the compiler's vector extension: any machine; also double, which
// checks the others.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu/exp2.h"

namespace provis::cpu {
namespace {

template <class T>
struct Portable {
  using Real = T;
  typedef T Vec __attribute__((vector_size(16)));
  using Packed = T;
  using Word = T;
  static constexpr int kLanes = 16 / sizeof(T);
  static constexpr int kRows = 4;
  static constexpr bool kHalf = false;
  static constexpr bool kTiles = false;
  static constexpr const char* kName = "portable";

  static Vec load(const T* p) {
    Vec x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static void store(T* p, Vec x) { std::memcpy(p, &x, sizeof x); }
  static Vec set1(T x) { return x - Vec{}; }
  static Vec add(Vec a, Vec b) { return a + b; }
  static Vec sub(Vec a, Vec b) { return a - b; }
  static Vec mul(Vec a, Vec b) { return a * b; }
  static Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static Vec max(Vec a, Vec b) { return a > b ? a : b; }
  // out[r] = sum (largest) of the lanes of rows[r].
  static void reduce_add(const Vec* rows, int count, T* out) {
    for (int r = 0; r < count; ++r) out[r] = sum_of(rows[r]);
  }
  static void reduce_max(const Vec* rows, int count, T* out) {
    for (int r = 0; r < count; ++r) out[r] = largest_of(rows[r]);
  }
  static T sum_of(Vec a) {
    T sum = a[0];
    for (int i = 1; i < kLanes; ++i) sum += a[i];
    return sum;
  }
  static T largest_of(Vec a) {
    T most = a[0];
    for (int i = 1; i < kLanes; ++i) most = a[i] > most ? a[i] : most;
    return most;
  }
  static Vec load_packed(const T* p) { return load(p); }
  static Vec broadcast(const T* p) { return set1(*p); }
  static Vec dot(Vec a, Vec b, Vec c) { return fma(a, b, c); }
  static uint32_t at_least(Vec a, Vec b) {
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(a[i] >= b[i]) << i;
    return bits;
  }
  static Vec add_where(Vec sum, uint32_t bits, Vec x) {
    for (int i = 0; i < kLanes; ++i) sum[i] += (bits >> i) & 1u ? x[i] : T{0};
    return sum;
  }
  // Adds p0 and p1 to `known` where the lowest bits of `valid` are set, one after the other, and to
  // `sum` where those of `set` are as well. Nothing branches on bits: they are set as they please.
  static void add_pairs(uint32_t valid, uint32_t set, Vec p0, Vec p1, Vec& known, Vec& sum) {
    const uint32_t on = set & valid;
    known = add_where(add_where(known, valid, p0), valid >> kLanes, p1);
    sum = add_where(add_where(sum, on, p0), on >> kLanes, p1);
  }
  // kLanes numbers of low and high, one after the other, from number `by` (below kLanes) on.
  using Shift = int;
  static Shift shift_by(int by) { return by; }
  static Vec shifted(Vec low, Vec high, Shift shift) {
    for (int i = 0; i < kLanes; ++i) {
      low[i] = i + shift < kLanes ? low[i + shift] : high[i + shift - kLanes];
    }
    return low;
  }
  static Vec exp2(Vec x) {
    if constexpr (sizeof(T) == 8) {
      for (int i = 0; i < kLanes; ++i) x[i] = std::exp2(x[i]);
      return x;
    } else {
      // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
      typedef int32_t Int __attribute__((vector_size(16)));
      const Vec magic = set1(12582912.0f);
      const Vec biased = x + magic;
      const Vec f = x - (biased - magic);
      Vec p = set1(kExp2Float[5]);
      for (int c = 4; c >= 0; --c) p = p * f + kExp2Float[c];
      const Int whole = (Int)biased - (Int)magic;
      const Vec power = (Vec)((whole + 127) << 23);
      const Vec scaled = p * power;
      const Vec normal = whole >= -126 ? scaled : set1(0.0f);
      return x == x ? normal : x;
    }
  }
  // kLanes rows of kLanes numbers.
  static void transpose(const T* in, int64_t pitch, T* out, int64_t out_pitch) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < kLanes; ++j) out[j * out_pitch + i] = in[i * pitch + j];
    }
  }
  static float from_half(uint16_t x) {
    const uint32_t sign = static_cast<uint32_t>(x & 0x8000) << 16;
    const uint32_t exponent = (x >> 10) & 31;
    const uint32_t fraction = x & 1023;
    uint32_t bits = sign | ((exponent + 112) << 23) | (fraction << 13);
    if (exponent == 31) {
      bits = sign | 0x7f800000u | (fraction << 13);
    } else if (exponent == 0) {  // zero and denormals: fraction * 2^-24
      const float value = static_cast<float>(fraction) * 5.9604644775390625e-8f;
      return sign ? -value : value;
    }
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
  }
};

}  // namespace
}  // namespace provis::cpu
