// Products of bf16 by AMX: sums of 16 x 16 numbers in eight tile registers.
//
// Packed queries, keys, weights and values already lie as tiles want them: 16 rows of 16 pairs on
// the left, 16 pairs by 16 columns on the right. Tiles 0 to 3 hold sums, 4 a piece of the left
// matrix, 5 to 7 pieces of the right one. The scores in the strip stay raw: step 2 (head_kernel.h)
// scales them.
#pragma once

#include "cpu/exponentials.h"
#include "cpu/offsets.h"
#include "cpu/packing.h"
#include "cpu/simd_avx512.h"

namespace provis::cpu {
namespace {

struct AmxBf16 : Avx512Bf16 {
  static constexpr int kRows = 16;
  static constexpr bool kTiles = true;
  static constexpr const char* kName = "amx_bf16";
};

struct Amx {
  using Vec = __m512;
  static constexpr int kRows = AmxBf16::kRows;
  static constexpr int kLanes = AmxBf16::kLanes;
  static constexpr int kTile = 2 * kLanes;
  static constexpr int64_t kLine = 64;  // bytes of a row of a tile

  // What ldtilecfg reads and sttilecfg writes.
  struct alignas(64) Configuration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };

  // Shapes of the tiles, for this thread; `saved` receives those of whoever had them before.
  static void begin(void* saved) {
    static constexpr Configuration ours;
    asm volatile("sttilecfg (%0)" : : "r"(saved) : "memory");
    asm volatile("ldtilecfg (%0)" : : "r"(&ours) : "memory");
  }
  static void end(const void* saved) {
    if (static_cast<const Configuration*>(saved)->palette == 0) {
      asm volatile("tilerelease" : : : "memory");
    } else {
      asm volatile("ldtilecfg (%0)" : : "r"(saved) : "memory");
    }
  }

  template <int kTo>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTo));
  }
  template <int kTo>
  static void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTo) : "memory");
  }
  template <int kFrom>
  static void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kFrom) : "memory");
  }
  // Tile kSum += tile 4 x tile kRight.
  template <int kSum, int kRight>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c1, %%tmm4, %%tmm%c0" : : "i"(kSum), "i"(kRight));
  }

  // Step 1: raw scores of a block against all keys, two key tiles at a time. The maxima of a pair
  // are taken while the next one is multiplied.
  // Without kMasks the products alone are stored, and there are no maxima.
  template <bool kMasks>
  static PROVIS_HOT void scores(const HeadWork& w, const Operands& of, int64_t begin, int64_t end,
                                Vec* most) {
    const int64_t pitch = Packing<AmxBf16>::depth_pitch(w);
    constexpr int64_t kQueryBytes = Packing<AmxBf16>::kQueryPitch * 4;
    constexpr int64_t kKeyBytes = kTile * 4;
    const uint32_t* q = static_cast<const uint32_t*>(of.rows);
    const uint32_t* k = static_cast<const uint32_t*>(of.keys);
    float* strip = static_cast<float*>(of.strip);
    for (int64_t t = begin; t < end; t += 2) {
      const bool two = t + 1 < end;
      const uint32_t* k0 = k + t * pitch * kTile;
      const uint32_t* k1 = two ? k0 + pitch * kTile : k0;
      zero_all();
      for (int64_t d = 0; d < pitch; d += kLanes) {
        load<4>(q + d, kQueryBytes);
        load<5>(k0 + d * kTile, kKeyBytes);
        multiply<0, 5>();
        load<6>(k0 + d * kTile + kLanes, kKeyBytes);
        multiply<1, 6>();
        if (!two) continue;
        load<7>(k1 + d * kTile, kKeyBytes);
        multiply<2, 7>();
        load<5>(k1 + d * kTile + kLanes, kKeyBytes);
        multiply<3, 5>();
      }
      if (kMasks && t > begin) {
        maxima(w, t - 2, most);
        maxima(w, t - 1, most);
      }
      float* out = strip + t * kRows * kTile;
      store<0>(out, kTile * 4);
      store<1>(out + kLanes, kTile * 4);
      if (two) {
        store<2>(out + kRows * kTile, kTile * 4);
        store<3>(out + kRows * kTile + kLanes, kTile * 4);
      }
    }
    if constexpr (!kMasks) return;
    for (int64_t t = begin + (end - begin - 1) / 2 * 2; t < end; ++t) maxima(w, t, most);
  }

  static inline void maxima(const HeadWork& w, int64_t t, Vec* most) {
    float* row = static_cast<float*>(w.strip) + t * kRows * kTile;
    if (w.tile_has_bias[t] != 0) {
      const float* bias = static_cast<const float*>(w.key_bias) + t * kTile;
      const Vec b0 = AmxBf16::load(bias);
      const Vec b1 = AmxBf16::load(bias + kLanes);
      for (int r = 0; r < kRows; ++r) {
        float* to = row + r * kTile;
        AmxBf16::store(to, AmxBf16::add(AmxBf16::load(to), b0));
        AmxBf16::store(to + kLanes, AmxBf16::add(AmxBf16::load(to + kLanes), b1));
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec both =
          AmxBf16::max(AmxBf16::load(row + r * kTile), AmxBf16::load(row + r * kTile + kLanes));
      most[r] = AmxBf16::max(most[r], both);
    }
  }

  // Sums of up to four tiles of output columns.
  struct alignas(64) Mixed {
    float sums[4][kRows][kLanes];
  };

  // Step 2, and step 3 for the first 64 columns: a tile of weights is multiplied as soon as it is
  // there, so that products run beside the exponentials of the next.
  template <bool kEntropy, class Block>
  static void exponentials(const HeadWork& w, Block& block) {
    const int columns = w.value == nullptr ? 0 : w.width / kLanes;
    if (columns >= 4) return weights_and_mix<kEntropy, 4>(w, block);
    if (columns >= 2) return weights_and_mix<kEntropy, 2>(w, block);
    if (columns == 1) return weights_and_mix<kEntropy, 1>(w, block);
    weights_and_mix<kEntropy, 0>(w, block);
  }

  template <bool kEntropy, int kColumns, class Block>
  static PROVIS_HOT void weights_and_mix(const HeadWork& w, Block& block) {
    const Vec unit = AmxBf16::set1(score_unit<AmxBf16>(w));
    Vec total[kRows], entropy[kRows];
    for (int r = 0; r < kRows; ++r) total[r] = entropy[r] = AmxBf16::set1(0);
    float* row = static_cast<float*>(w.strip) + w.band_begin * kRows * kTile;
    uint32_t* half = w.half_strip + w.band_begin * kRows * kLanes;
    zero_all();
    for (int64_t t = w.band_begin; t < w.band_end; ++t, half += kRows * kLanes) {
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r, row += kTile) {
        to_weights<AmxBf16, kEntropy>(row, half + r * kLanes, AmxBf16::set1(block.maximum[r]), unit,
                                      total[r], entropy[r]);
      }
      if constexpr (kColumns > 0) multiply_tile<kColumns>(w, t, 0);
    }
    if constexpr (kColumns > 0) store_all(block.mixed);
    AmxBf16::reduce_add(total, kRows, block.sum);
    if constexpr (kEntropy) AmxBf16::reduce_add(entropy, kRows, block.moment);
  }

  static void zero_all() {
    zero<0>();
    zero<1>();
    zero<2>();
    zero<3>();
  }
  static void store_all(Mixed& mixed) {
    store<0>(mixed.sums[0], kLine);
    store<1>(mixed.sums[1], kLine);
    store<2>(mixed.sums[2], kLine);
    store<3>(mixed.sums[3], kLine);
  }

  // Adds the weights of key tile t times its values. Two columns or fewer are summed over odd and
  // even key tiles apart: products that wait for the last one's sum are slow.
  template <int kColumns>
  static inline __attribute__((always_inline)) void multiply_tile(const HeadWork& w, int64_t t,
                                                                  int column) {
    const int64_t value_bytes = int64_t{w.width} * 4;
    const uint32_t* v =
        static_cast<const uint32_t*>(w.packed_value) + t * kLanes * w.width + column;
    load<4>(w.half_strip + t * kRows * kLanes, kLine);
    load<5>(v, value_bytes);
    if constexpr (kColumns >= 2) load<6>(v + kLanes, value_bytes);
    if (kColumns <= 2 && (t & 1) != 0) {
      multiply<2, 5>();
      if constexpr (kColumns == 2) multiply<3, 6>();
      return;
    }
    multiply<0, 5>();
    if constexpr (kColumns >= 2) multiply<1, 6>();
    if constexpr (kColumns == 4) {
      load<7>(v + 2 * kLanes, value_bytes);
      multiply<2, 7>();
      load<5>(v + 3 * kLanes, value_bytes);
      multiply<3, 5>();
    }
  }

  template <int kColumns>
  static void store_columns(const HeadWork& w, int64_t first, int count, int column,
                            const float* inverse, const Mixed& mixed) {
    const int left = w.depth - column;
    for (int r = 0; r < count; ++r) {
      const Vec scale = AmxBf16::set1(inverse[r]);
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        Vec sum = AmxBf16::load(mixed.sums[c][r]);
        if constexpr (kColumns <= 2) sum = AmxBf16::add(sum, AmxBf16::load(mixed.sums[c + 2][r]));
        store_vector<AmxBf16>(w, first + r, column + c * kLanes, left - c * kLanes,
                              AmxBf16::mul(sum, scale));
      }
    }
  }

  template <int kColumns>
  static PROVIS_HOT void mix_columns(const HeadWork& w, int64_t first, int count, int column,
                                     const float* inverse) {
    Mixed mixed;
    zero_all();
    for (int64_t t = w.band_begin; t < w.band_end; ++t) multiply_tile<kColumns>(w, t, column);
    store_all(mixed);
    store_columns<kColumns>(w, first, count, column, inverse, mixed);
  }

  // Step 3: what step 2 has summed up, and the columns that it left.
  template <class Block>
  static void mix(const HeadWork& w, int64_t first, int count, const Block* block, int) {
    const float* inverse = block->inverse;
    const Mixed& mixed = block->mixed;
    const int columns = w.width / kLanes;
    int done = columns >= 4 ? 4 : columns >= 2 ? 2 : 1;
    if (done == 4) store_columns<4>(w, first, count, 0, inverse, mixed);
    if (done == 2) store_columns<2>(w, first, count, 0, inverse, mixed);
    if (done == 1) store_columns<1>(w, first, count, 0, inverse, mixed);
    for (; done + 4 <= columns; done += 4) {
      mix_columns<4>(w, first, count, done * kLanes, inverse);
    }
    for (; done + 2 <= columns; done += 2) {
      mix_columns<2>(w, first, count, done * kLanes, inverse);
    }
    if (done < columns) mix_columns<1>(w, first, count, done * kLanes, inverse);
  }
};

}  // namespace
}  // namespace provis::cpu
