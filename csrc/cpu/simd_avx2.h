// AVX2 + FMA + F16C vectors of 8 floats.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/exp2.h"

namespace provis::cpu {
namespace {

struct Avx2 {
  using Real = float;
  using Vec = __m256;
  using Packed = float;
  using Word = uint32_t;
  static constexpr int kLanes = 8;
  static constexpr int kRows = 6;  // 6 x 2 accumulators + 2 keys + 1 query of 16 registers
  static constexpr bool kHalf = false;
  static constexpr bool kTiles = false;
  static constexpr const char* kName = "avx2";

  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
  static Vec set1(float x) { return _mm256_set1_ps(x); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  // out[r] = sum (largest) of the lanes of rows[r].
  static void reduce_add(const Vec* rows, int count, float* out) {
    for (int r = 0; r < count; ++r) out[r] = sum_of(rows[r]);
  }
  static void reduce_max(const Vec* rows, int count, float* out) {
    for (int r = 0; r < count; ++r) out[r] = largest_of(rows[r]);
  }
  static float sum_of(Vec a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static float largest_of(Vec a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  static Vec load_packed(const float* p) { return load(p); }
  static Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Vec dot(Vec a, Vec b, Vec c) { return fma(a, b, c); }
  static uint32_t at_least(Vec a, Vec b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
  }
  static Vec add_where(Vec sum, uint32_t bits, Vec x) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i on = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
    const __m256i mask = _mm256_cmpeq_epi32(on, lane);
    return _mm256_add_ps(sum, _mm256_and_ps(x, _mm256_castsi256_ps(mask)));
  }
  // Adds p0 and p1 to `known` where the lowest bits of `valid` are set, one after the other, and to
  // `sum` where those of `set` are as well. Nothing branches on bits: they are set as they please.
  static void add_pairs(uint32_t valid, uint32_t set, Vec p0, Vec p1, Vec& known, Vec& sum) {
    const uint32_t on = set & valid;
    known = add_where(add_where(known, valid, p0), valid >> kLanes, p1);
    sum = add_where(add_where(sum, on, p0), on >> kLanes, p1);
  }
  // Eight numbers of low and high, one after the other, from number `by` (0 to 7) on.
  using Shift = __m256i;
  static Shift shift_by(int by) {
    return _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(by));
  }
  static Vec shifted(Vec low, Vec high, Shift shift) {
    // Only the lowest three bits of an index count.
    const Vec from_high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(shift, _mm256_set1_epi32(7)));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, shift),
                            _mm256_permutevar8x32_ps(high, shift), from_high);
  }
  // 2^x for x <= 0; NaN stays NaN. Results below 2^-126 become 0.
  static Vec exp2(Vec x) {
    const Vec whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = _mm256_sub_ps(x, whole);
    Vec p = set1(kExp2Float[5]);
    p = fma(p, f, set1(kExp2Float[4]));
    p = fma(p, f, set1(kExp2Float[3]));
    p = fma(p, f, set1(kExp2Float[2]));
    p = fma(p, f, set1(kExp2Float[1]));
    p = fma(p, f, set1(kExp2Float[0]));
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    const Vec power = _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
    // NLT keeps NaN: "not less than" is true of it.
    const Vec normal = _mm256_cmp_ps(whole, set1(-126.0f), _CMP_NLT_UQ);
    const Vec scaled = _mm256_and_ps(_mm256_mul_ps(p, power), normal);
    const Vec is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    return _mm256_blendv_ps(scaled, x, is_nan);
  }
  static void transpose(const uint32_t* in, int64_t pitch, uint32_t* out, int64_t out_pitch) {
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      r[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(in + i * pitch));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
      r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
      r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
      r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m256 low = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
      const __m256 high = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
      _mm256_storeu_ps(reinterpret_cast<float*>(out + i * out_pitch), low);
      _mm256_storeu_ps(reinterpret_cast<float*>(out + (i + 4) * out_pitch), high);
    }
  }
  static float from_half(uint16_t x) { return _cvtsh_ss(x); }
};

}  // namespace
}  // namespace provis::cpu
