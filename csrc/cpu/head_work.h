// What a worker (worker.h) and the kernels of one instruction set (head_kernel.h) share: the
// buffers of one (sequence, head), as plain pointers.
//
// Kernel files are compiled for instruction sets that this machine may not have. They must not
// emit functions that the linker could pick for code outside them, so they see plain structs
// only: no standard containers.
#pragma once

#include <cstdint>

#include "core/channels.h"
#include "provis/attention_statistics.h"

namespace provis::cpu {

struct HeadWork {
  // The (sequence, head) at hand. Data of one row: data + token * token_stride, in elements.
  DType dtype;
  const char* query;
  const char* key;
  const char* value;  // null: no output
  char* output;
  int64_t query_stride, key_stride, value_stride, output_stride;
  const char* position_query;  // null: no terms of relative position
  const char* position_key;    // of row 0: offset j - i = -span
  int64_t position_query_stride, position_key_stride;
  int64_t next_query, next_key, next_value;  // from a row to the same row of the next head; or 0
  void* lse;       // one per token, contiguous; float, or double for kFloat64; may be null
  int64_t n;       // tokens of the sequence = queries
  int64_t keys;    // keys up to the last that is allowed
  int64_t tiles;   // key tiles
  int64_t window;  // 0: none, else below n
  int64_t span;    // |j - i| is at most this in any sequence of the call
  // Key tiles within reach: of the task, which are packed, and of the band at hand.
  int64_t task_begin, task_end;
  int64_t band_begin, band_end;
  int64_t chunk;  // key tiles that the blocks of a band take in turn
  int band;       // blocks of queries that share a chunk
  int max_band;   // that the buffers have room for
  int depth;      // head size
  int width;      // columns of the packed value, a multiple of the vector
  double scale;
  bool new_sequence;  // else the masks below are those of the last call
  bool new_head;      // else what depends on j - i is that of the last call

  // Per sequence.
  const uint8_t* allowed;      // [n] or null
  const float* additive;       // [n] or null
  const float* relative_bias;  // of this head, from offset j - i = -span on, or null
  const uint8_t* counted;      // [n] residue and allowed
  const SequenceProperty* properties;
  int n_properties;
  int channels;
  const double* thresholds;
  int n_thresholds;
  double least_threshold;

  // Buffers of the thread, 64-byte aligned.
  void* packed_key;        // [tiles, depth, tile]
  void* packed_value;      // [keys, width]
  void* queries;           // [band, rows, query_pitch]
  void* packed_positions;  // [position_tiles, depth, tile] position keys by j - i + span
  void* position_queries;  // [band, rows, query_pitch]
  void* position_strip;    // [tiles + 2, rows, tile] products of some position keys
  void* offset_bias;       // [2 span + 1 + tile] relative bias in the strip's units, then zeros
  int64_t position_tiles;
  void* rows_in;           // scratch: one tile of converted rows
  void* strips;            // [band, tiles, rows, tile] scores, then exp(score - row maximum)
  uint32_t* half_strips;   // bf16: the same as pairs of bf16
  void* partial;           // [band, rows, 2 vectors] output of the chunks of keys so far
  void* key_bias;          // [tiles * tile] added to scores, times log2(e)
  uint8_t* tile_has_bias;  // [tiles]
  uint32_t* residue_bits;  // [tiles]
  double* row_mass;        // [rows] attention of the block's rows to residues
  double* class_mass;      // [sqrt(classes) + 2] scratch of class pairs

  // The block at hand, in the buffers above.
  const void* packed_query;
  const void* position_rows;
  void* strip;
  uint32_t* half_strip;

  // Accumulators of one task.
  int64_t* arc_counts;  // [n_thresholds, channels] or null
  int64_t* mass;        // [channels] or null
  int64_t* columns;     // [tiles * tile] attention received, or null
  int64_t* diagonals;   // [2 * reach + 1, rounded up] attention by j - i, or null
  int64_t reach;
  int64_t entropy;
  bool wants_entropy;
  bool not_finite;

  // Arc list of the whole call, or null; filled through an atomic counter.
  int32_t* arc_index;
  float* arc_weight;
  int64_t* arc_total;
  int64_t arc_capacity;
  int32_t sequence, head;
  bool arc_overflow;
};

constexpr int kSavedBytes = 64;
constexpr int kMaxBand = 8;

// One instruction set: how its kernels tile, and their two entry points.
struct KernelTable {
  const char* name;
  int tile;     // keys per tile; at most 32, divides 32
  int rows;     // queries per block
  int lanes;    // numbers per vector
  int element;  // bytes of a computed number
  int pair;     // 2: products take pairs of bf16
  int query_pitch;
  void (*pack)(HeadWork&);                            // once per (sequence, head)
  void (*band)(HeadWork&, int64_t first, int count);  // `count` <= band * rows queries
  int max_band;
  // Once per thread and call, around all others; may be null. `saved`: kSavedBytes, aligned to 64.
  void (*begin)(void* saved);
  void (*end)(const void* saved);
};

const KernelTable* portable_f32();
const KernelTable* portable_f64();
const KernelTable* avx2_f32();  // null where the compiler cannot
const KernelTable* avx512_f32();
const KernelTable* avx512_bf16();
const KernelTable* amx_bf16();

}  // namespace provis::cpu
