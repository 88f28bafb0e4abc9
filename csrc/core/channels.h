// Which accumulator channels a pair (query i, key j) of one sequence adds to.
//
// Shared by every kernel. Channel 0 counts all pairs; each property then has one channel for the
// pairs on which it is known (eligible) and one for each class.
#pragma once

#include <cstdint>

#include "provis/attention_statistics.h"

#if defined(__CUDACC__)
#define PROVIS_HD __host__ __device__ __forceinline__
#else
// Internal linkage and inlining: kernels of different instruction sets include this header, and
// the linker must not take one's code for another's.
#define PROVIS_HD inline __attribute__((always_inline))
#endif

namespace provis {

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
};

static PROVIS_HD bool bit_of(const uint32_t* row, int64_t j) {
  return (row[j >> 5] >> (j & 31)) & 1u;
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
      const int bin = distance < p.near ? p.bin_of[distance] : p.classes - 1;
      add(p.channel + 1 + bin, int64_t{1});
      return;
    }
  }
}

}  // namespace provis
