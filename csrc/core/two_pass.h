// The two-pass kernel: statistics of attention whose log-sum-exp is known, block by block.
//
// A block of four warps takes 64 or 128 queries of one (sequence, head), one or two row tiles of 16
// a warp, and walks the keys, or those that its window reaches, 64 at a time:
//   1. keys come to shared memory, the next ones while these are worked on (tiles.h);
//   2. scores = Q K^T, 32 of every row tile in the registers of every lane (fragment.h);
//   3. x = scale * score + biases - lse is the logarithm of the attention weight, final at once;
//   4. arcs are the pairs with x >= log theta: without weighing, no exponential is computed, and a
//      tile whose largest x is below the threshold costs no more than finding that (arcs.h);
//   5. weighing: a = e^x, summed by row, by column and by pair property (weights.h).
// Counters are integers in shared memory, added to the accumulators once at the end, so results are
// the same bits whatever order warps and blocks run in. A warp whose queries do not count (those
// behind the end of a short sequence) takes part in the copies and barriers alone.
//
// The code is a template over `Gpu`: what a thread knows of itself and the instructions of its warp
// and block. csrc/cuda/gpu.h has those of a GPU; tests/cpp/fake_gpu.h runs the same code as 128
// threads of the host. Barriers and warp instructions are reached by all threads alike.
//
// Keys that may not be attended can hold anything: they touch their own columns of scores only, and
// those are overwritten. Queries that do not count are zero from the start.
#pragma once

#include "core/arcs.h"
#include "core/tiles.h"
#include "core/weights.h"

namespace provis {

// Shared memory of a block, one part after the other; all but the last two are multiples of 16.
struct SharedLayout {
  int query_bytes;
  int stage_bytes;   // of two stages of keys
  int column_bytes;  // column sums of the four warps
  int arc_slots;
  int mass_slots;

  static constexpr int kColumnBytes = kBlockWarps * kTileKeys * 4;
  static constexpr int kRowBytes = kMaxBlockQueries / 8 * 4;  // which queries count
  static constexpr int kMaskBytes = 2 * 2 * 2 * 4;            // which keys of two tiles

  PROVIS_HD int rows_at() const { return query_bytes + 2 * stage_bytes + column_bytes; }
  PROVIS_HD int masks_at() const { return rows_at() + kRowBytes; }
  PROVIS_HD int counters_at() const { return masks_at() + kMaskBytes; }
  PROVIS_HD int bytes() const { return counters_at() + 8 * (arc_slots + mass_slots); }
};

template <class Shape, bool kWeighted>
PROVIS_HD SharedLayout shared_layout(const TwoPassCall& call) {
  const int pitch = Shape::query_pitch(Shape::chunks(call));
  return {Shape::kBlockQueries * pitch * 16, Shape::kStageBytes,
          kWeighted ? SharedLayout::kColumnBytes : 0, call.arc_slots_shared,
          kWeighted ? call.mass_slots_shared : 0};
}

// Adds biases to the scores, which have their final unit from here on.
template <class Gpu>
PROVIS_HD void add_biases(const Gpu& gpu, const TwoPassCall& call, const Place& place, int i,
                          int first_key, float (&scores)[kLaneElements]) {
  const float* relative =
      call.relative_bias == nullptr
          ? nullptr
          : call.relative_bias + place.head * call.bias_length + call.bias_length / 2;
  PROVIS_UNROLL
  for (int e = 0; e < kLaneElements; ++e) {
    const int query = i + 8 * ((e >> 1) & 1);
    const int key = first_key + column_of_element(gpu.lane(), e);
    float bias = 0;
    if (key < place.n && query < place.n) {
      if (call.additive != nullptr) bias = call.additive[place.begin + key];
      if (relative != nullptr) bias += relative[key - query];
    }
    scores[e] = gpu.fma(scores[e], call.scale, bias);
  }
}

// Two row tiles, and fragments of queries that are kept, where the registers of a warp suffice for
// them. (In plain float32, and at depth 256, the queries of two would fill the shared memory.)
template <class Element, int kDepth, bool kWeighted>
using TwoPassShape = TileShape<Element, kDepth, sizeof(Element) == 2 && kDepth <= 128 ? 2 : 1,
                               sizeof(Element) == 2 && kDepth <= (kWeighted ? 64 : 128)>;

template <class Element, int kDepth, bool kWeighted, class Gpu>
struct TwoPassBlock {
  using Shape = TwoPassShape<Element, kDepth, kWeighted>;
  static constexpr int kRowTiles = Shape::kRowTiles;

  const Gpu& gpu;
  const TwoPassCall& call;
  Place place;
  int warp_first;  // first query of the warp
  QueryRow row[kRowTiles][2];
  bool busy;  // whether one of the warp's queries counts
  Rows queries, keys;
  int chunks, query_pitch;
  char* query_tile;
  char* stages;
  float* columns;        // [warps, keys]
  uint32_t* mask_words;  // share_key_masks()
  uint32_t* row_counts;  // [row tiles, 2]: bit 4 g, row g counts, or row g + 8
  Counters arcs, mass;
  RowTotals totals[kRowTiles];

  PROVIS_HD TwoPassBlock(const Gpu& gpu_, const TwoPassCall& call_) : gpu(gpu_), call(call_) {}

  // Runs the block. False where it has nothing to do.
  PROVIS_HD bool run(const BlockIndex& index, char* shared) {
    if (!find_place<Shape::kBlockQueries>(gpu, call, index, place)) return false;
    warp_first = place.first + kWarpRows * kRowTiles * gpu.warp();
    if (!tables_fit(call, place)) {
      if (gpu.thread() == 0) raise(gpu, call, place, kNotFinite);
      return false;
    }
    bool counts = false;
    PROVIS_UNROLL
    for (int t = 0; t < kRowTiles; ++t) {
      PROVIS_UNROLL
      for (int r = 0; r < 2; ++r) {
        row[t][r] = query_row(call, place, query_of(t) + 8 * r);
        if (row[t][r].not_finite) raise(gpu, call, place, kNotFinite);
        counts = counts || row[t][r].counts();
      }
    }
    carve(shared);
    PROVIS_UNROLL
    for (int t = 0; t < kRowTiles; ++t) {
      PROVIS_UNROLL
      for (int r = 0; r < 2; ++r) {
        const uint32_t bits = gpu.ballot(row[t][r].counts());
        if (gpu.lane() == 0) row_counts[2 * (gpu.warp() * kRowTiles + t) + r] = bits;
      }
    }
    busy = gpu.any(counts);
    if (!gpu.sync_or(counts)) return false;
    walk_tiles();
    finish();
    return true;
  }

  // Query of the lane's first row in row tile t; that of its second is 8 further on.
  PROVIS_HD int query_of(int t) const { return warp_first + kWarpRows * t + (gpu.lane() >> 2); }

  PROVIS_HD void carve(char* shared) {
    const SharedLayout layout = shared_layout<Shape, kWeighted>(call);
    chunks = Shape::chunks(call);
    query_pitch = Shape::query_pitch(chunks);
    query_tile = shared;
    stages = query_tile + layout.query_bytes;
    columns = reinterpret_cast<float*>(stages + 2 * layout.stage_bytes);
    mask_words = reinterpret_cast<uint32_t*>(shared + layout.masks_at());
    row_counts = reinterpret_cast<uint32_t*>(shared + layout.rows_at());
    uint32_t* counters = reinterpret_cast<uint32_t*>(shared + layout.counters_at());
    arcs = {counters, counters + layout.arc_slots};
    counters += 2 * layout.arc_slots;
    mass = {counters, counters + layout.mass_slots};
    const int words = 2 * (layout.arc_slots + layout.mass_slots);
    for (int w = gpu.thread(); w < words; w += kBlockThreads) arcs.low[w] = 0;
    // Those of a warp that is not busy stay so.
    for (int c = gpu.thread(); c < layout.column_bytes / 4; c += kBlockThreads) columns[c] = 0;
    queries = rows_of<Element>(call, call.query, call.query_vectors != 0, place);
    keys = rows_of<Element>(call, call.key, call.key_vectors != 0, place);
  }

  PROVIS_HD void load_queries() {
    const auto counts = [&](int r) { return (row_counts[r >> 3] >> (4 * (r & 7)) & 1) != 0; };
    for (int chunk = 0; chunk < chunks; ++chunk) {
      load_rows<Shape, Shape::kBlockQueries, Element>(gpu, queries, place.first, chunk,
                                                      query_tile + chunk * Shape::kUnits * 16,
                                                      query_pitch, counts);
    }
    gpu.commit();
  }

  PROVIS_HD void load_keys(int first_key, int chunk, int stage) {
    const int left = place.n - first_key;
    const auto inside = [&](int r) { return r < left; };
    load_rows<Shape, kTileKeys, Element>(
        gpu, keys, first_key, chunk, stages + stage * Shape::kStageBytes, Shape::kKeyPitch, inside);
    gpu.commit();
  }

  PROVIS_HD void walk_tiles() {
    const KeyRange range = key_range<Shape::kBlockQueries>(call, place);
    load_queries();
    load_keys(range.begin, 0, 0);
    gpu.template wait<1>();
    gpu.sync();  // the queries are there, and counters are zero
    QueryFragments<Shape> fragments;
    fragments.load(gpu, query_tile, query_pitch);
    int stage = 0;
    for (int first_key = range.begin; first_key < range.end; first_key += kTileKeys) {
      KeyMasks masks{0, 0};
      bool wanted = false;
      ScoreTiles<Shape> scores;
      PROVIS_UNROLL
      for (int t = 0; t < kRowTiles; ++t) {
        PROVIS_UNROLL
        for (int e = 0; e < kLaneElements; ++e) scores[t][e] = 0;
      }
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const bool same_tile = chunk + 1 < chunks;
        const int next_key = same_tile ? first_key : first_key + kTileKeys;
        uint32_t* words = mask_words + 4 * (first_key / kTileKeys & 1);
        if (chunk == 0) share_key_masks(gpu, call, place, first_key, words);
        gpu.template wait<0>();
        gpu.sync();  // these keys are there, and their masks; all have done with the other stage
        if (next_key < range.end) load_keys(next_key, same_tile ? chunk + 1 : 0, stage ^ 1);
        if (chunk == 0) {
          masks = key_masks(call, place, first_key, words);
          wanted = (kWeighted && call.entropy != nullptr ? masks.allowed : masks.counted) != 0;
        }
        if (wanted && busy) {
          const char* tile = stages + stage * Shape::kStageBytes;
          if constexpr (Shape::kTensorCores) {
            multiply_chunk<Shape, Element>(gpu, fragments, query_tile, query_pitch, tile, chunk,
                                           scores);
          } else {
            multiply_chunk_float<Shape>(gpu, query_tile, query_pitch, tile, chunk, scores);
          }
          if (!same_tile) tile_statistics(scores, masks, first_key);
        }
        stage ^= 1;
      }
      if (kWeighted && call.wants_columns != 0 && wanted) {
        gpu.sync();  // all sums are there; the next barrier keeps them from being overwritten
        fold_columns(first_key);
      }
    }
  }

  PROVIS_HD void tile_statistics(ScoreTiles<Shape>& scores, const KeyMasks& masks, int first_key) {
    float by_column[16];
    if constexpr (kWeighted) {
      PROVIS_UNROLL
      for (int c = 0; c < 16; ++c) by_column[c] = 0;
    }
    PROVIS_UNROLL
    for (int t = 0; t < kRowTiles; ++t) {
      row_tile_statistics(scores[t], t, masks, first_key);
      if constexpr (kWeighted) {
        if (call.wants_columns != 0) add_columns(scores[t], by_column);
      }
    }
    if constexpr (kWeighted) {
      if (call.wants_columns != 0) {
        float sums[2];
        column_sums(gpu, by_column, sums);
        float* to = columns + gpu.warp() * kTileKeys + 2 * gpu.lane();
        to[0] = sums[0];
        to[1] = sums[1];
      }
    }
  }

  // Of one row tile; turns its scores into weights where it weighs.
  PROVIS_HD void row_tile_statistics(float (&scores)[kLaneElements], int t, const KeyMasks& masks,
                                     int first_key) {
    const int i = query_of(t);
    float unit = call.scale;
    if (call.additive != nullptr || call.relative_bias != nullptr) {
      add_biases(gpu, call, place, i, first_key, scores);
      unit = 1;
    }
    const bool others_too = kWeighted && call.entropy != nullptr;
    const uint64_t taken = others_too ? masks.allowed : masks.counted;
    if (taken != ~uint64_t{0}) {
      fill_other_columns(scores, lane_columns(taken, gpu.lane()), -INFINITY);
    }
    if (call.window != 0) apply_window(gpu, call, i, first_key, scores);
    const LaneScores lane{scores,
                          unit,
                          {row[t][0].minus_lse, row[t][1].minus_lse},
                          {row[t][0].allowed, row[t][1].allowed}};
    tile_arcs(gpu, call, place, arcs, lane, warp_first + kWarpRows * t, first_key, masks.counted);
    if constexpr (kWeighted) {
      PROVIS_UNROLL
      for (int e = 0; e < kLaneElements; ++e) scores[e] = lane.x(gpu, scores[e], e);
      if (others_too) {
        weights_of<true>(gpu, scores, totals[t]);
        if (masks.counted != masks.allowed) {
          fill_other_columns(scores, lane_columns(masks.counted, gpu.lane()), 0.0f);
        }
      } else {
        weights_of<false>(gpu, scores, totals[t]);
      }
      add_row_masses(scores, totals[t]);
      if (call.mass != nullptr) {
        add_tile_properties(gpu, call, place, mass, scores, i, first_key);
      }
    }
  }

  // The warps' column sums of one tile, in their order.
  PROVIS_HD void fold_columns(int first_key) {
    if (gpu.thread() >= kTileKeys) return;
    double sum = 0;
    PROVIS_UNROLL
    for (int w = 0; w < kBlockWarps; ++w) {
      sum += static_cast<double>(columns[w * kTileKeys + gpu.thread()]);
    }
    add_column(gpu, call, place, mass, first_key + gpu.thread(), sum);
  }

  PROVIS_HD void finish() {
    if constexpr (kWeighted) {
      PROVIS_UNROLL
      for (int t = 0; t < kRowTiles; ++t) {
        add_rows(gpu, call, place, mass, totals[t], query_of(t));
      }
      gpu.sync();
      if (call.mass != nullptr) finish_mass(gpu, call, place, mass);
    }
    gpu.sync();
    if constexpr (kWeighted) flush_mass(gpu, call, place, mass);
    if (call.arc_slots_shared != 0) flush_arcs(gpu, call, place, arcs);
  }
};

}  // namespace provis
