// A call of the two-pass kernel: what the host hands to every block, as one plain struct.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/channels.h"
#include "provis/attention_statistics.h"

namespace provis {

constexpr int kBlockThreads = 128;
constexpr int kBlockWarps = kBlockThreads / 32;
constexpr int kMaxBlockQueries = 128;  // a block has so many queries or half (tiles.h)
constexpr int kMaxPropertiesOfLaunch = 32;
constexpr int kMaxThresholds = 64;
constexpr int kMaxBins = 255;

// A property over the whole batch. Its counters in the block: slot `slot` for eligible pairs, then
// one for each class.
struct PropertyTable {
  PropertyKind kind;
  int classes;
  int slot;
  int side;
  const int16_t* labels;
  const int64_t* values;
  const uint32_t* pairs;
  int64_t pair_words;
  const int64_t* pair_offsets;
};

// Slots are the channels of one launch: slot 0 is channel 0, and slot s the channel s +
// channel_offset. A call with many properties is several launches, of which the first alone adds
// what is not a property's (slot 0, received, entropy, the list of arcs).
struct TwoPassCall {
  TensorView query, key;
  int query_vectors, key_vectors;  // rows can be read 16 bytes at a time
  const float* lse;
  int64_t lse_batch_stride, lse_head_stride, lse_token_stride;

  const int32_t* cu_seqlens;  // null: batched, every sequence has `length` tokens
  int64_t sequences, heads, tokens, length;
  int64_t first_sequence, first_head;  // of this launch
  int head_size;
  float scale;

  const uint8_t* allowed;
  const float* additive;
  const uint8_t* residues;
  const float* relative_bias;  // [heads, bias_length]
  int64_t bias_length;
  int window;  // i attends to j only where |i - j| < window; 0: everywhere

  PropertyTable properties[kMaxPropertiesOfLaunch];
  int n_properties;
  int slots;
  int channels;
  int channel_offset;
  int first_launch;
  int n_bins;
  int32_t bin_starts[kMaxBins];
  int n_thresholds;
  float log_thresholds[kMaxThresholds];
  float least_log_threshold;  // +inf: no arcs are asked for

  int64_t* arc_counts;  // [sequences, n_thresholds, heads, channels]
  int64_t* mass;        // [sequences, heads, channels]
  int64_t* received;    // [heads, tokens]
  int64_t* entropy;     // [sequences, heads]
  int32_t* arc_index;   // [arc_capacity, 4]
  float* arc_weight;
  int64_t* arc_total;
  int64_t arc_capacity;
  int32_t* flags;  // [sequences]

  int wants_columns;      // received, or a property of keys is weighed
  int arc_slots_shared;   // n_thresholds * slots if they are counted in shared memory, else 0
  int mass_slots_shared;  // slots + 1 if weighing: the last is the entropy's
};

static_assert(sizeof(TwoPassCall) <= 4096, "the parameters of a kernel");

// Which block of a launch: x over blocks of queries, y over heads, z over sequences if batched.
struct BlockIndex {
  int64_t x, y, z;
};

}  // namespace provis
