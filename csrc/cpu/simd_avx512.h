// AVX-512 vectors of 16 floats, and products of bf16 pairs where AVX512-BF16 is compiled in.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/exp2.h"

namespace provis::cpu {
namespace {

struct Avx512 {
  using Real = float;
  using Vec = __m512;
  using Packed = float;   // what products take one of
  using Word = uint32_t;  // what transpose moves
  static constexpr int kLanes = 16;
  static constexpr int kRows = 12;  // 12 x 2 accumulators + 2 keys + 1 query fill 32 registers
  static constexpr bool kHalf = false;
  static constexpr bool kTiles = false;
  static constexpr const char* kName = "avx512";

  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
  static Vec set1(float x) { return _mm512_set1_ps(x); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  // out[r] = sum (largest) of the lanes of rows[r]; count is a multiple of 4.
  static void reduce_add(const Vec* rows, int count, float* out) {
    for (int r = 0; r < count; r += 4) fold4<Add>(rows + r, out + r);
  }
  static void reduce_max(const Vec* rows, int count, float* out) {
    for (int r = 0; r < count; r += 4) fold4<Max>(rows + r, out + r);
  }
  static Vec load_packed(const float* p) { return load(p); }
  static Vec broadcast(const float* p) { return set1(*p); }
  static Vec dot(Vec a, Vec b, Vec c) { return fma(a, b, c); }
  static uint32_t at_least(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static Vec add_where(Vec sum, uint32_t bits, Vec x) {
    return _mm512_mask_add_ps(sum, static_cast<__mmask16>(bits), sum, x);
  }
  // Adds p0 and p1 to `known` where the lowest bits of `valid` are set, one after the other, and to
  // `sum` where those of `set` are as well. Nothing branches on bits: they are set as they please.
  // Testing vectors against bits is cheaper than moving bits to masks.
  static void add_pairs(uint32_t valid, uint32_t set, Vec p0, Vec p1, Vec& known, Vec& sum) {
    const __m512i low =
        _mm512_setr_epi32(1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8,
                          1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15);
    const __m512i high = _mm512_slli_epi32(low, 16);
    const __m512i v = _mm512_set1_epi32(static_cast<int>(valid));
    const __m512i s = _mm512_set1_epi32(static_cast<int>(set));
    const __mmask16 v0 = _mm512_test_epi32_mask(v, low);
    const __mmask16 v1 = _mm512_test_epi32_mask(v, high);
    const __mmask16 s0 = _mm512_mask_test_epi32_mask(v0, s, low);
    const __mmask16 s1 = _mm512_mask_test_epi32_mask(v1, s, high);
    known = _mm512_mask_add_ps(known, v0, known, p0);
    sum = _mm512_mask_add_ps(sum, s0, sum, p0);
    known = _mm512_mask_add_ps(known, v1, known, p1);
    sum = _mm512_mask_add_ps(sum, s1, sum, p1);
  }
  // Sixteen numbers of low and high, one after the other, from number `by` (0 to 15) on.
  using Shift = __m512i;
  static Shift shift_by(int by) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(lane, _mm512_set1_epi32(by));
  }
  static Vec shifted(Vec low, Vec high, Shift shift) {
    return _mm512_permutex2var_ps(low, shift, high);
  }
  // 2^x for x <= 0; NaN stays NaN, and what is below the smallest denormal becomes 0.
  static Vec exp2(Vec x) {
    const Vec whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = _mm512_sub_ps(x, whole);
    Vec p = set1(kExp2Float[5]);
    p = fma(p, f, set1(kExp2Float[4]));
    p = fma(p, f, set1(kExp2Float[3]));
    p = fma(p, f, set1(kExp2Float[2]));
    p = fma(p, f, set1(kExp2Float[1]));
    p = fma(p, f, set1(kExp2Float[0]));
    return _mm512_scalef_ps(p, whole);
  }
  // Sixteen rows of 16 words, `pitch` words apart, become sixteen columns `out_pitch` apart.
  static void transpose(const uint32_t* in, int64_t pitch, uint32_t* out, int64_t out_pitch) {
    __m512i r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(in + i * pitch);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
      r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
      r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
      r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
      t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
      t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
      r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
      r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
      r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * out_pitch, r[i]);
  }
  static float from_half(uint16_t x) { return _cvtsh_ss(x); }

 private:
  struct Add {
    static __m512 of(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
    static __m256 of(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
    static __m128 of(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
  };
  struct Max {
    static __m512 of(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
    static __m256 of(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
    static __m128 of(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
  };
  // Four reductions for little more than the price of one: rows meet in one vector early on.
  template <class Op>
  static void fold4(const Vec* rows, float* out) {
    const Vec ab =
        Op::of(_mm512_unpacklo_ps(rows[0], rows[1]), _mm512_unpackhi_ps(rows[0], rows[1]));
    const Vec cd =
        Op::of(_mm512_unpacklo_ps(rows[2], rows[3]), _mm512_unpackhi_ps(rows[2], rows[3]));
    const __m512d low = _mm512_castps_pd(ab);
    const __m512d high = _mm512_castps_pd(cd);
    const Vec abcd = Op::of(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)),
                            _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
    const __m256 half = Op::of(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
    _mm_storeu_ps(out, Op::of(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
};

#if defined(__AVX512BF16__)
struct Avx512Bf16 : Avx512 {
  using Packed = uint32_t;  // two bf16, the lower index in the lower half
  static constexpr bool kHalf = true;
  static constexpr const char* kName = "avx512_bf16";

  static Vec load_packed(const uint32_t* p) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static Vec broadcast(const uint32_t* p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*p)));
  }
  static Vec dot(Vec a, Vec b, Vec c) {
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
  }
  // Two rows of 16 bf16 as 16 pairs.
  static void interleave(const uint16_t* low, const uint16_t* high, uint32_t* out) {
    const __m512i a = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)low));
    const __m512i b = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)high));
    _mm512_storeu_si512(out, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
  }
  static void store_bf16(uint16_t* p, Vec x) {
    _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh(x));
  }
  // 32 numbers of consecutive keys as 16 pairs.
  static void store_half(uint32_t* p, Vec low, Vec high) {
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
};
#endif

}  // namespace
}  // namespace provis::cpu
