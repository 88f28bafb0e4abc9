// Where a block of either kernel stands, and what it knows of its queries and keys.
#pragma once

#include "core/fragment.h"
#include "core/two_pass_call.h"

namespace provis {

// Tokens of a batch are fewer than 2^31, so 32 bits count those of a sequence; what is multiplied
// by a stride has 64.
struct Place {
  int64_t sequence;
  int64_t head;
  int64_t begin;  // first token of the sequence, counted over the batch
  int n;          // its tokens
  int first;      // first query of the block, counted within the sequence
};

// The host does not know the lengths of packed sequences. With Q queries to a block, sequence s
// owns the blocks from start(s) = cu[s] / Q + s on: as many as it may need at least, since start(s
// + 1) - start(s) = floor(cu[s + 1] / Q) - floor(cu[s] / Q) + 1 >= ceil(n / Q). This is the last s
// with start(s) <= block, found 32 candidates at a time. Blocks that a sequence does not need leave
// at once.
template <int kBlockQueries, class Gpu>
PROVIS_HD int64_t find_sequence(const Gpu& gpu, const int32_t* cu_seqlens, int64_t sequences,
                                int64_t block) {
  int64_t low = 0;
  for (int64_t size = sequences; size > 1;) {
    const int64_t step = (size + 31) >> 5;
    const int64_t ahead = gpu.lane() * step;
    const bool begins =
        ahead < size && (cu_seqlens[low + ahead] / kBlockQueries) + low + ahead <= block;
    int passed = gpu.count(gpu.ballot(begins));  // starts ascend: the first lanes pass
    if (passed < 1) passed = 1;                  // start(0) = 0, unless cu_seqlens is broken
    const int64_t skipped = (passed - 1) * step;
    low += skipped;
    size = size - skipped < step ? size - skipped : step;
  }
  return low;
}

// False for a block that has no queries.
template <int kBlockQueries, class Gpu>
PROVIS_HD bool find_place(const Gpu& gpu, const TwoPassCall& call, const BlockIndex& index,
                          Place& place) {
  place.head = call.first_head + index.y;
  int64_t first;
  if (call.cu_seqlens != nullptr) {
    place.sequence = find_sequence<kBlockQueries>(gpu, call.cu_seqlens, call.sequences, index.x);
    const int64_t begin = call.cu_seqlens[place.sequence];
    const int64_t end = call.cu_seqlens[place.sequence + 1];
    if (begin < 0 || end > call.tokens) return false;
    place.begin = begin;
    place.n = static_cast<int>(end - begin);
    first = (index.x - begin / kBlockQueries - place.sequence) * kBlockQueries;
  } else {
    place.sequence = call.first_sequence + index.z;
    place.begin = place.sequence * call.length;
    place.n = static_cast<int>(call.length);
    first = index.x * kBlockQueries;
  }
  if (first < 0 || first >= place.n) return false;
  place.first = static_cast<int>(first);
  return true;
}

static PROVIS_HD bool is_allowed(const TwoPassCall& call, int64_t token) {
  return call.allowed == nullptr || call.allowed[token] != 0;
}

static PROVIS_HD bool is_residue(const TwoPassCall& call, int64_t token) {
  return call.residues == nullptr || call.residues[token] != 0;
}

template <class Gpu>
PROVIS_HD void raise(const Gpu& gpu, const TwoPassCall& call, const Place& place, int32_t flag) {
  if (call.flags != nullptr) gpu.or_global(call.flags + place.sequence, flag);
}

// One query. It counts if it is an allowed residue with a finite log-sum-exp; minus_lse is -inf
// otherwise, which makes all its weights zero.
struct QueryRow {
  float minus_lse;
  bool allowed;
  bool not_finite;  // allowed, with a log-sum-exp of NaN or +inf

  PROVIS_HD bool counts() const { return minus_lse != -INFINITY; }
};

static PROVIS_HD QueryRow query_row(const TwoPassCall& call, const Place& place, int i) {
  QueryRow row{-INFINITY, false, false};
  if (i >= place.n || !is_allowed(call, place.begin + i)) return row;
  const float lse =
      call.cu_seqlens != nullptr
          ? call.lse[place.head * call.lse_head_stride + (place.begin + i) * call.lse_token_stride]
          : call.lse[place.sequence * call.lse_batch_stride + place.head * call.lse_head_stride +
                     i * call.lse_token_stride];
  row.allowed = true;
  row.not_finite = !(lse < INFINITY);
  if (!row.not_finite && lse > -INFINITY && is_residue(call, place.begin + i)) row.minus_lse = -lse;
  return row;
}

// Which of the 64 keys of a tile may be attended, and which of them count.
struct KeyMasks {
  uint64_t allowed;
  uint64_t counted;
};

static PROVIS_HD bool has_key_masks(const TwoPassCall& call) {
  return call.allowed != nullptr || call.residues != nullptr;
}

// Before a barrier: two warps read the masks of 32 keys each, for all. words: [2, 2], by half of
// the tile allowed and counted.
template <class Gpu>
PROVIS_HD void share_key_masks(const Gpu& gpu, const TwoPassCall& call, const Place& place,
                               int first_key, uint32_t* words) {
  if (!has_key_masks(call) || gpu.warp() >= 2) return;
  const int j = first_key + gpu.thread();
  const int64_t token = place.begin + (j < place.n ? j : 0);  // reads need no branch
  // Both are read before either is looked at: the block waits for them only once.
  const bool may = is_allowed(call, token), residue = is_residue(call, token);
  const bool allowed = may & (j < place.n);
  const bool counted = residue & allowed;
  const uint32_t all = gpu.ballot(allowed), some = gpu.ballot(counted);
  if (gpu.lane() != 0) return;
  words[2 * gpu.warp()] = all;
  words[2 * gpu.warp() + 1] = some;
}

// After the barrier.
static PROVIS_HD KeyMasks key_masks(const TwoPassCall& call, const Place& place, int first_key,
                                    const uint32_t* words) {
  if (has_key_masks(call)) {
    return {uint64_t{words[2]} << 32 | words[0], uint64_t{words[3]} << 32 | words[1]};
  }
  const int left = place.n - first_key;
  const uint64_t all = left >= kTileKeys ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
  return {all, all};
}

// Keys that queries of the block reach: whole tiles from `begin` to `end`.
struct KeyRange {
  int begin;  // a multiple of kTileKeys
  int end;
};

template <int kBlockQueries>
PROVIS_HD KeyRange key_range(const TwoPassCall& call, const Place& place) {
  if (call.window == 0) return {0, place.n};
  const int before = place.first - call.window + 1;
  const int64_t behind = int64_t{place.first} + kBlockQueries + call.window - 1;
  return {before < 0 ? 0 : before / kTileKeys * kTileKeys,
          behind < place.n ? static_cast<int>(behind) : place.n};
}

// Forbids the keys outside of the window of rows i and i + 8.
template <class Gpu>
PROVIS_HD void apply_window(const Gpu& gpu, const TwoPassCall& call, int i, int first_key,
                            float (&scores)[kLaneElements]) {
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    const int offset = first_key + column_of_element(gpu.lane(), e) - (i + 8 * ((e >> 1) & 1));
    if (offset >= call.window || -offset >= call.window) scores[e] = -INFINITY;
  }
}

// Whether all that is read by sequence length stays within its table: bitmaps, the relative bias.
static PROVIS_HD bool tables_fit(const TwoPassCall& call, const Place& place) {
  if (call.relative_bias != nullptr && call.bias_length / 2 < place.n - 1) return false;
  for (int p = 0; p < call.n_properties; ++p) {
    const PropertyTable& table = call.properties[p];
    if (table.kind != PropertyKind::kPair) continue;
    const int64_t offset = table.pair_offsets[place.sequence];
    const int64_t words = int64_t{2} * place.n * ((place.n + 31) / 32);
    if (offset < 0 || offset + words > table.pair_words) return false;
  }
  return true;
}

// A property as seen from the block's sequence.
static PROVIS_HD SequenceProperty view_property(const TwoPassCall& call, int p,
                                                const Place& place) {
  const PropertyTable& table = call.properties[p];
  SequenceProperty view{};
  view.kind = table.kind;
  view.classes = table.classes;
  view.channel = table.slot;
  view.side = table.side;
  if (table.labels != nullptr) view.labels = table.labels + place.begin;
  if (table.values != nullptr) view.values = table.values + place.begin;
  if (table.kind == PropertyKind::kPair) {
    view.words = (place.n + 31) / 32;
    view.set = table.pairs + table.pair_offsets[place.sequence];
    view.valid = view.set + place.n * view.words;
  }
  view.near = call.n_bins > 0 ? call.bin_starts[call.n_bins - 1] : 0;
  view.bin_starts = call.bin_starts;
  return view;
}

}  // namespace provis
