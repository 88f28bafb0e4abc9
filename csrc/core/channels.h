// Which accumulator channels a pair (query i, key j) of one sequence adds to.
//
// Shared by every kernel. Channel 0 counts all pairs; each property then has one channel for the
// pairs on which it is known (eligible) and one for each class.
#pragma once

#include <cstdint>

#include "provis/attention_statistics.h"

// Functions of the shared core: device code for nvcc, plain host code for everybody else, so that
// host tests run the very source that the kernels are made of.
#if defined(__CUDACC__)
#define PROVIS_HD __device__ __forceinline__
#define PROVIS_UNROLL _Pragma("unroll")
#define PROVIS_NO_UNROLL _Pragma("unroll 1")
#elif defined(PROVIS_FAST_CORE_CALLS)
#define PROVIS_HD inline  // tests of the whole core compile in a third of the time
#define PROVIS_UNROLL
#define PROVIS_NO_UNROLL
#else
// Internal linkage and inlining: kernels of different instruction sets include this header, and
// the linker must not take one's code for another's.
#define PROVIS_HD inline __attribute__((always_inline))
#define PROVIS_UNROLL
#define PROVIS_NO_UNROLL
#endif

namespace provis {

// Whether the table is there that a property of this kind is read from. For the host.
static inline bool has_table(const Property& property) {
  switch (property.kind) {
    case PropertyKind::kKeyClass:
    case PropertyKind::kQueryClass:
    case PropertyKind::kClassPair:
      return property.labels != nullptr;
    case PropertyKind::kKeyValue:
      return property.values != nullptr;
    case PropertyKind::kPair:
      return property.pairs != nullptr && property.pair_offsets != nullptr;
    case PropertyKind::kSeparation:
      return true;
  }
  return false;
}

// A property as seen from one sequence: tables begin at its first token.
struct SequenceProperty {
  PropertyKind kind;
  int classes;
  int channel;            // of its eligible pairs; its classes follow
  int side;               // class pairs: classes = side * side
  const int16_t* labels;  // [n]
  const int64_t* values;  // [n]
  const uint32_t* set;    // [n, words]
  const uint32_t* valid;  // [n, words]
  int64_t words;
  const uint8_t* bin_of;  // [near] bin of a separation below `near`; above it the last bin
  int64_t near;
  const int32_t* bin_starts;  // [classes]; used where there is no table bin_of
};

static PROVIS_HD bool bit_of(const uint32_t* row, int64_t j) {
  return (row[j >> 5] >> (j & 31)) & 1u;
}

// Bin of a separation: the last one that begins at or below it.
static PROVIS_HD int bin_of_separation(const SequenceProperty& p, int64_t distance) {
  if (distance >= p.near) return p.classes - 1;
  if (p.bin_of != nullptr) return p.bin_of[distance];
  int low = 0;
  for (int size = p.classes; size > 1;) {
    const int half = size >> 1;
    if (p.bin_starts[low + half] <= distance) {
      low += half;
      size -= half;
    } else {
      size = half;
    }
  }
  return low;
}

// Calls add(channel, amount) for every channel but 0 that the pair adds to.
template <class Add>
static PROVIS_HD void add_pair(const SequenceProperty& p, int64_t i, int64_t j, Add add) {
  switch (p.kind) {
    case PropertyKind::kKeyClass:
    case PropertyKind::kQueryClass: {
      const int label = p.labels[p.kind == PropertyKind::kKeyClass ? j : i];
      if (label < 0) return;
      add(p.channel, int64_t{1});
      if (label < p.classes) add(p.channel + 1 + label, int64_t{1});
      return;
    }
    case PropertyKind::kClassPair: {
      const int row = p.labels[i];
      const int column = p.labels[j];
      if (row < 0 || column < 0) return;
      add(p.channel, int64_t{1});
      if (row < p.side && column < p.side) {
        add(p.channel + 1 + row * p.side + column, int64_t{1});
      }
      return;
    }
    case PropertyKind::kKeyValue: {
      const int64_t value = p.values[j];
      if (value == kUnknownValue) return;
      add(p.channel, int64_t{1});
      add(p.channel + 1, value);
      return;
    }
    case PropertyKind::kPair: {
      if (!bit_of(p.valid + i * p.words, j)) return;
      add(p.channel, int64_t{1});
      if (bit_of(p.set + i * p.words, j)) add(p.channel + 1, int64_t{1});
      return;
    }
    case PropertyKind::kSeparation: {
      const int64_t distance = i > j ? i - j : j - i;
      add(p.channel, int64_t{1});
      add(p.channel + 1 + bin_of_separation(p, distance), int64_t{1});
      return;
    }
  }
}

}  // namespace provis
