// Rows of the caller's tensors in, as the kernels compute with them, and rows of the output back.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/head_work.h"

namespace provis::cpu {
namespace {

inline int64_t element_bytes(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

inline float from_bf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

inline uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline uint16_t to_half(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00;   // NaN
  if (bits >= 0x477ff000u) return sign | 0x7c00;  // rounds to infinity
  if (bits < 0x38800000u) {                       // denormal or zero: let addition round
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude += 0.5f;  // the last bit of 0.5 is 2^-24, the unit of half's denormals
    std::memcpy(&bits, &magnitude, sizeof bits);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  const uint32_t odd = (bits >> 13) & 1;
  return static_cast<uint16_t>(sign | ((bits - 0x38000000u + 0xfff + odd) >> 13));
}

inline void copy_row(const HeadWork& w, const char* row, char* out) {
  const int64_t bytes = w.depth * element_bytes(w.dtype);
  int64_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    std::memcpy(out + at, row + at, 64);
  }
  for (; at + 4 <= bytes; at += 4) std::memcpy(out + at, row + at, 4);
  for (; at < bytes; ++at) out[at] = row[at];
}

// Row `token` as `pitch` numbers (pairs, for bf16 products), zero beyond the head size.
template <class S>
inline void load_row(const HeadWork& w, const char* data, int64_t stride, int64_t token,
                     typename S::Packed* out, int64_t pitch) {
  const char* row = data + token * stride * element_bytes(w.dtype);
  const int depth = w.depth;
  if constexpr (S::kHalf) {
    copy_row(w, row, reinterpret_cast<char*>(out));
    char* end = reinterpret_cast<char*>(out) + depth * 2;
    std::memset(end, 0, static_cast<size_t>(pitch) * 4 - static_cast<size_t>(depth) * 2);
    return;
  } else if constexpr (sizeof(typename S::Real) == 8) {
    copy_row(w, row, reinterpret_cast<char*>(out));
  } else if (w.dtype == DType::kFloat32) {
    copy_row(w, row, reinterpret_cast<char*>(out));
  } else {
    const uint16_t* in = reinterpret_cast<const uint16_t*>(row);
    if (w.dtype == DType::kBFloat16) {
      for (int c = 0; c < depth; ++c) out[c] = from_bf16(in[c]);
    } else {
      for (int c = 0; c < depth; ++c) out[c] = S::from_half(in[c]);
    }
  }
  for (int64_t c = depth; c < pitch; ++c) out[c] = 0;
}

template <class T>
inline void store_row(const HeadWork& w, int64_t token, int column, int count, const T* in) {
  char* row = w.output + (token * w.output_stride + column) * element_bytes(w.dtype);
  if constexpr (sizeof(T) == 8) {
    std::memcpy(row, in, static_cast<size_t>(count) * 8);
  } else if (w.dtype == DType::kFloat32) {
    std::memcpy(row, in, static_cast<size_t>(count) * 4);
  } else {
    uint16_t* out = reinterpret_cast<uint16_t*>(row);
    if (w.dtype == DType::kBFloat16) {
      for (int c = 0; c < count; ++c) out[c] = to_bf16(in[c]);
    } else {
      for (int c = 0; c < count; ++c) out[c] = to_half(in[c]);
    }
  }
}

// One vector of an output row, of which the first `count` numbers are wanted.
template <class S>
inline void store_vector(const HeadWork& w, int64_t token, int column, int count,
                         typename S::Vec x) {
  using Real = typename S::Real;
  char* to = w.output + (token * w.output_stride + column) * element_bytes(w.dtype);
  if (count >= S::kLanes) {
    if constexpr (S::kHalf) {
      S::store_bf16(reinterpret_cast<uint16_t*>(to), x);
      return;
    } else if (w.dtype == (sizeof(Real) == 8 ? DType::kFloat64 : DType::kFloat32)) {
      S::store(reinterpret_cast<Real*>(to), x);
      return;
    }
    count = S::kLanes;
  }
  Real row[S::kLanes];
  S::store(row, x);
  if (count > 0) store_row(w, token, column, count, row);
}

inline bool is_allowed(const HeadWork& w, int64_t token) {
  return w.allowed == nullptr || w.allowed[token] != 0;
}

}  // namespace
}  // namespace provis::cpu
