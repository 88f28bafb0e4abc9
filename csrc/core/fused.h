// The fused kernel: attention, its log-sum-exp and the arcs, in one walk over the keys.
//
// As in FlashAttention-2 (Dao, 2023), a block takes some queries of one (sequence, head), 16 or 32
// a warp, keeps their outputs in registers and walks keys and values 64 at a time with a running
// softmax (softmax.h); of a window, only the tiles that it reaches. Keys come while the products
// with values run, values while those with keys do, so that one tile of each is enough.
//
// A weight is final only with the last key. Each row has a list of candidates for arcs
// (candidates.h) in shared memory. A tile is searched for more only if one of its rows has
//     largest score of the tile >= lse + log theta,
// with any log-sum-exp lse from before: it never falls. The one of the last search does, and the
// largest score so far, which costs nothing. A searched tile pays its exponentials twice, because
// the list holds only what reaches theta of a normaliser that has this tile in it. Most tiles of
// trained models hold no candidate: what they pay is one comparison a row.
//
// With the last key the candidates that stay are arcs, by the same expression as in the two-pass
// kernel, and are counted by property. Weighing needs every weight, and so the two-pass kernel.
//
// Keys that may not be attended can hold anything: their scores are overwritten and their values
// zero from the start. All queries get an output, those that may not be attended too.
#pragma once

#include "core/arcs.h"
#include "core/candidates.h"
#include "core/fused_call.h"
#include "core/softmax.h"
#include "core/tiles.h"
#include "core/two_pass.h"

namespace provis {

constexpr int kMaxFusedHeadSize = 128;

// Outputs take kDepth / 2 registers a row tile.
template <class Element, int kDepth>
using FusedShape = TileShape<Element, kDepth, kDepth <= 64 ? 2 : 1, kDepth <= 64>;

// Shared memory of a block, one part after the other.
struct FusedLayout {
  int query_bytes, stage_bytes;
  int rows, capacity;  // lists
  int arc_slots;

  PROVIS_HD int keys_at() const { return query_bytes; }
  PROVIS_HD int values_at() const { return keys_at() + stage_bytes; }
  PROVIS_HD int entries_at() const { return values_at() + stage_bytes; }
  PROVIS_HD int sizes_at() const {
    return entries_at() + rows * capacity * static_cast<int>(sizeof(Candidate));
  }
  PROVIS_HD int masks_at() const { return sizes_at() + rows * 4; }
  PROVIS_HD int counters_at() const { return masks_at() + SharedLayout::kMaskBytes; }
  PROVIS_HD int bytes() const { return counters_at() + 8 * arc_slots; }
};

template <class Shape>
PROVIS_HD FusedLayout fused_layout(const FusedCall& call) {
  return {Shape::kBlockQueries * Shape::query_pitch(1) * 16, Shape::kStageBytes,
          Shape::kBlockQueries, call.list_capacity, call.arc_slots_shared};
}

// Where a lane's row of the four 8 x 8 matrices of ldmatrix.x4.trans begins. Matrix m = lane / 8:
// of values, keys 8 (m % 2) on and depths 8 (m / 2) on: fragments B of two products side by side.
static PROVIS_HD const char* value_matrices(const char* tile, int pitch, int pair, int lane,
                                            int step) {
  const int row = 16 * step + (lane & 7) + ((lane >> 3) & 1) * 8;
  return tile + (row * pitch + 2 * pair + (lane >> 4)) * 16;
}

template <class Element, int kDepth, class Gpu>
struct FusedBlock {
  using Shape = FusedShape<Element, kDepth>;
  static constexpr int kRowTiles = Shape::kRowTiles;
  static constexpr int kPitch = Shape::kKeyPitch;  // of queries too: there is one chunk
  static constexpr int kWarpQueries = kWarpRows * kRowTiles;

  const Gpu& gpu;
  const FusedCall& call;
  Place place;
  int warp_first;  // first query of the warp
  bool busy;       // whether the warp has queries
  Rows queries, keys, values;
  char* query_tile;
  char* key_tile;
  char* value_tile;
  Candidate* entries;    // [queries, capacity]
  int* sizes;            // [queries]
  uint32_t* mask_words;  // share_key_masks()
  Counters arcs;
  float unit, per_unit;  // what makes natural and binary logarithms of scores
  OnlineRow online[kRowTiles][2];
  float floors[kRowTiles][2];  // of candidates, at the last search; NaN: the row does not count
  float outputs[kRowTiles][kDepth / 2];

  PROVIS_HD FusedBlock(const Gpu& gpu_, const FusedCall& call_) : gpu(gpu_), call(call_) {}

  PROVIS_HD void run(const BlockIndex& index, char* shared) {
    if (!find_place<Shape::kBlockQueries>(gpu, call, index, place)) return;
    if (!tables_fit(call, place)) {
      if (gpu.thread() == 0) raise(gpu, call, place, kNotFinite);
      write_nan();
      return;
    }
    warp_first = place.first + kWarpQueries * gpu.warp();
    busy = warp_first < place.n;
    const bool biased = call.additive != nullptr || call.relative_bias != nullptr;
    unit = biased ? 1.0f : call.scale;
    per_unit = gpu.multiply_rounded(unit, kLog2E);
    carve(shared);
    PROVIS_UNROLL
    for (int t = 0; t < kRowTiles; ++t) {
      PROVIS_UNROLL
      for (int r = 0; r < 2; ++r) floors[t][r] = counts(t, r) ? -INFINITY : NAN;
      PROVIS_UNROLL
      for (int x = 0; x < kDepth / 2; ++x) outputs[t][x] = 0;
    }
    walk_tiles(biased);
    finish();
  }

  // Query of the lane's first row in row tile t; that of its second is 8 further on.
  PROVIS_HD int query_of(int t) const { return warp_first + kWarpRows * t + (gpu.lane() >> 2); }

  PROVIS_HD bool counts(int t, int r) const {
    const int i = query_of(t) + 8 * r;
    if (i >= place.n || call.list_capacity == 0) return false;
    return is_allowed(call, place.begin + i) && is_residue(call, place.begin + i);
  }

  PROVIS_HD CandidateList list_of(int row) const {
    return {entries + row * call.list_capacity, sizes + row, call.list_capacity};
  }

  PROVIS_HD void carve(char* shared) {
    const FusedLayout layout = fused_layout<Shape>(call);
    query_tile = shared;
    key_tile = shared + layout.keys_at();
    value_tile = shared + layout.values_at();
    entries = reinterpret_cast<Candidate*>(shared + layout.entries_at());
    sizes = reinterpret_cast<int*>(shared + layout.sizes_at());
    mask_words = reinterpret_cast<uint32_t*>(shared + layout.masks_at());
    uint32_t* counters = reinterpret_cast<uint32_t*>(shared + layout.counters_at());
    arcs = {counters, counters + layout.arc_slots};
    for (int w = gpu.thread(); w < 2 * layout.arc_slots; w += kBlockThreads) counters[w] = 0;
    for (int r = gpu.thread(); r < layout.rows; r += kBlockThreads) sizes[r] = 0;
    queries = rows_of<Element>(call, call.query, call.query_vectors != 0, place);
    keys = rows_of<Element>(call, call.key, call.key_vectors != 0, place);
    values = rows_of<Element>(call, call.value, call.value_vectors != 0, place);
  }

  PROVIS_HD void load_keys(int first_key) {
    const int left = place.n - first_key;
    const auto inside = [&](int r) { return r < left; };
    load_rows<Shape, kTileKeys, Element>(gpu, keys, first_key, 0, key_tile, kPitch, inside);
    gpu.commit();
  }

  PROVIS_HD void load_values(int first_key, uint64_t allowed) {
    const auto kept = [&](int r) { return (allowed >> r & 1) != 0; };
    load_rows<Shape, kTileKeys, Element>(gpu, values, first_key, 0, value_tile, kPitch, kept);
    gpu.commit();
  }

  PROVIS_HD void walk_tiles(bool biased) {
    const int queries_left = place.n - place.first;
    const auto inside = [&](int r) { return r < queries_left; };
    load_rows<Shape, Shape::kBlockQueries, Element>(gpu, queries, place.first, 0, query_tile,
                                                    kPitch, inside);
    gpu.commit();
    const KeyRange range = key_range<Shape::kBlockQueries>(call, place);
    load_keys(range.begin);
    gpu.template wait<1>();
    gpu.sync();  // the queries are there, and the counters zero
    QueryFragments<Shape> fragments;
    fragments.load(gpu, query_tile, kPitch);
    for (int first_key = range.begin; first_key < range.end; first_key += kTileKeys) {
      share_key_masks(gpu, call, place, first_key, mask_words);
      gpu.template wait<0>();
      gpu.sync();  // these keys and their masks are there; the last values have been used
      const KeyMasks masks = key_masks(call, place, first_key, mask_words);
      const bool wanted = masks.allowed != 0;
      if (wanted) load_values(first_key, masks.allowed);
      ScoreTiles<Shape> scores;
      if (wanted && busy) {
        PROVIS_UNROLL
        for (int t = 0; t < kRowTiles; ++t) {
          PROVIS_UNROLL
          for (int e = 0; e < kLaneElements; ++e) scores[t][e] = 0;
        }
        multiply_chunk<Shape, Element>(gpu, fragments, query_tile, kPitch, key_tile, 0, scores);
        PROVIS_UNROLL
        for (int t = 0; t < kRowTiles; ++t) weigh(scores[t], t, masks, first_key, biased);
      }
      gpu.template wait<0>();
      gpu.sync();  // these values are there; the keys have been used
      if (first_key + kTileKeys < range.end) load_keys(first_key + kTileKeys);
      if (wanted && busy) multiply_values(scores);
    }
  }

  // Scores of one row tile -> terms of its softmax; candidates on the way.
  PROVIS_HD void weigh(float (&scores)[kLaneElements], int t, const KeyMasks& masks, int first_key,
                       bool biased) {
    if (biased) add_biases(gpu, call, place, query_of(t), first_key, scores);
    if (masks.allowed != ~uint64_t{0}) {
      fill_other_columns(scores, lane_columns(masks.allowed, gpu.lane()), -INFINITY);
    }
    if (call.window != 0) apply_window(gpu, call, query_of(t), first_key, scores);
    float shrink[2], reference[2];
    bool promising = false;
    PROVIS_UNROLL
    for (int r = 0; r < 2; ++r) {
      OnlineRow& row = online[t][r];
      const float of_tile = row_maximum(gpu, scores, r);
      const float most = gpu.max_nan(row.most, of_tile);
      reference[r] = reference_of(gpu, most, per_unit);
      // Both references are rounded, and only then subtracted.
      shrink[r] = row.most == -INFINITY
                      ? 0.0f
                      : gpu.exp2(gpu.multiply_rounded(row.most, per_unit) - reference[r]);
      row.most = most;
      row.sum = gpu.multiply_rounded(row.sum, shrink[r]);  // the same whether searched or not
      const float least = most * unit + call.least_log_threshold - kSlack;
      promising = promising || (of_tile * unit >= least && of_tile * unit >= floors[t][r]);
    }
    if (call.list_capacity != 0 && gpu.any(promising))
      search(scores, t, masks, first_key, reference);
    PROVIS_UNROLL
    for (int r = 0; r < 2; ++r) {
      online[t][r].sum += sum_of_terms<true>(gpu, scores, r, per_unit, reference[r]);
    }
    PROVIS_UNROLL
    for (int n = 0; n < kDepth / 8; ++n) {
      PROVIS_UNROLL
      for (int x = 0; x < 4; ++x) outputs[t][4 * n + x] *= shrink[x >> 1];
    }
  }

  // The whole warp comes here, for a row tile whose sums are those before this tile.
  PROVIS_HD void search(const float (&scores)[kLaneElements], int t, const KeyMasks& masks,
                        int first_key, const float (&reference)[2]) {
    PROVIS_UNROLL
    for (int r = 0; r < 2; ++r) {
      const float mine = sum_of_terms<false>(gpu, scores, r, per_unit, reference[r]);
      const float total = row_sum(gpu, online[t][r].sum + mine);
      const float lse = log_sum_exp(gpu, online[t][r].most, total, unit, per_unit);
      if (floors[t][r] == floors[t][r]) {
        floors[t][r] = candidate_floor(lse, call.least_log_threshold);
      }
      const int row = query_of(t) + 8 * r - place.first;
      const bool fits =
          add_candidates(gpu, list_of(row), scores, r, lane_columns(masks.counted, gpu.lane()),
                         first_key, unit, floors[t][r]);
      if (!fits) raise(gpu, call, place, kNotFinite);
    }
  }

  // outputs += terms of the softmax times values.
  PROVIS_HD void multiply_values(const ScoreTiles<Shape>& terms) {
    PROVIS_UNROLL
    for (int step = 0; step < kTileKeys / 16; ++step) {
      // Accumulators of products 2 step and 2 step + 1 are the fragment A of the next product.
      uint32_t a[kRowTiles][4];
      PROVIS_UNROLL
      for (int t = 0; t < kRowTiles; ++t) {
        PROVIS_UNROLL
        for (int x = 0; x < 4; ++x) {
          const int e = 8 * step + 2 * x;
          a[t][x] = gpu.template pack<Element>(terms[t][e], terms[t][e + 1]);
        }
      }
      PROVIS_UNROLL
      for (int pair = 0; pair < kDepth / 16; ++pair) {
        uint32_t b[4];
        gpu.load_transposed(b, value_matrices(value_tile, kPitch, pair, gpu.lane(), step));
        PROVIS_UNROLL
        for (int t = 0; t < kRowTiles; ++t) {
          gpu.template multiply<Element>(outputs[t] + 8 * pair, a[t], b[0], b[1]);
          gpu.template multiply<Element>(outputs[t] + 8 * pair + 4, a[t], b[2], b[3]);
        }
      }
    }
  }

  PROVIS_HD void finish() {
    if (busy) {
      PROVIS_UNROLL
      for (int t = 0; t < kRowTiles; ++t) {
        PROVIS_UNROLL
        for (int r = 0; r < 2; ++r) finish_row(t, r);
      }
      gpu.sync_warp();
      store_outputs();
      if (call.list_capacity != 0) {
        // Counting is much code, for it knows every kind of property: once is enough.
        PROVIS_NO_UNROLL
        for (int eight = 0; eight < 2 * kRowTiles; ++eight) count_rows(eight);
      }
    }
    gpu.sync();
    if (call.arc_slots_shared != 0) flush_arcs(gpu, call, place, arcs);
  }

  // What a call without flags is told of tables that do not fit.
  PROVIS_HD void write_nan() const {
    const Rows to = rows_of<Element>(call, call.output, false, place);
    const uint16_t nan = static_cast<uint16_t>(gpu.template pack<Element>(NAN, NAN));
    const int left = place.n - place.first;
    const int rows = left < Shape::kBlockQueries ? left : Shape::kBlockQueries;
    for (int x = gpu.thread(); x < rows * call.head_size; x += kBlockThreads) {
      const int i = place.first + x / call.head_size;
      char* row = const_cast<char*>(to.data) + i * to.stride;
      reinterpret_cast<Element*>(row)[x % call.head_size] = Element{nan};
    }
    for (int r = gpu.thread(); r < rows; r += kBlockThreads) write_lse(place.first + r, NAN);
  }

  PROVIS_HD void write_lse(int i, float lse) const {
    if (call.new_lse == nullptr) return;
    const bool packed = call.cu_seqlens != nullptr;
    const int64_t cell = packed ? place.head : place.sequence * call.heads + place.head;
    const int64_t at = packed ? cell * call.tokens + place.begin + i : cell * call.length + i;
    call.new_lse[at] = lse;
  }

  // Log-sum-exp of one row, and its output to where its query was. What count_rows() needs goes to
  // the tile of keys, which nobody reads any more.
  PROVIS_HD void finish_row(int t, int r) {
    const int i = query_of(t) + 8 * r;
    const float total = row_sum(gpu, online[t][r].sum);
    const float lse = log_sum_exp(gpu, online[t][r].most, total, unit, per_unit);
    const float share = total == 0.0f ? 0.0f : 1.0f / total;
    char* row = query_tile + ((i - place.first) * kPitch) * 16 + 4 * (gpu.lane() & 3);
    PROVIS_UNROLL
    for (int n = 0; n < kDepth / 8; ++n) {
      const float* two = outputs[t] + 4 * n + 2 * r;
      *reinterpret_cast<uint32_t*>(row + 16 * n) =
          gpu.template pack<Element>(two[0] * share, two[1] * share);
    }
    if (i < place.n && (gpu.lane() & 3) == 0) {
      write_lse(i, lse);
      // As where the log-sum-exp is given, NaN counts only where a query may be attended.
      if (!(lse < INFINITY) && is_allowed(call, place.begin + i))
        raise(gpu, call, place, kNotFinite);
    }
    if (call.list_capacity != 0 && (gpu.lane() & 3) == 0) {
      const bool has_arcs = floors[t][r] == floors[t][r] && lse > -INFINITY;
      reinterpret_cast<float*>(key_tile)[i - place.first] = has_arcs ? -lse : -INFINITY;
    }
  }

  // Arcs of eight rows of the warp.
  PROVIS_HD void count_rows(int eight) {
    const int i = warp_first + 8 * eight + (gpu.lane() >> 2);
    const int row = i - place.first;
    const CandidateList list = list_of(row);
    const float minus_lse = reinterpret_cast<const float*>(key_tile)[row];
    const float log_theta = call.least_log_threshold;
    const bool listed = call.arc_index != nullptr;
    int mine = 0;
    if (listed) {
      final_candidates(gpu, list, unit, minus_lse, log_theta, [&](int, float) { ++mine; });
    }
    int64_t at = listed ? reserve_list(gpu, call, mine) : 0;
    final_candidates(gpu, list, unit, minus_lse, log_theta, [&](int j, float x) {
      if (call.arc_counts != nullptr) count_arc(gpu, call, place, arcs, i, j, x);
      if (listed) list_arc(gpu, call, place, at++, i, j, x);
    });
  }

  // The warp's outputs, from shared memory.
  PROVIS_HD void store_outputs() {
    const Rows to = rows_of<Element>(call, call.output, call.output_vectors != 0, place);
    const int first = warp_first - place.first;
    const int rows = place.n - warp_first < kWarpQueries ? place.n - warp_first : kWarpQueries;
    for (int u = gpu.lane(); u < rows * Shape::kUnits; u += 32) {
      const int row = u / Shape::kUnits;
      const int unit_of_row = u - row * Shape::kUnits;
      const char* from = query_tile + ((first + row) * kPitch + unit_of_row) * 16;
      char* target = const_cast<char*>(to.data) + (warp_first + row) * to.stride + unit_of_row * 16;
      const int bytes = bytes_of_unit(to, unit_of_row * 16);
      if (to.vectors && bytes == 16) {
        gpu.move_unit(target, from);
        continue;
      }
      const Element* elements = reinterpret_cast<const Element*>(from);
      for (int e = 0; e * static_cast<int>(sizeof(Element)) < bytes; ++e) {
        reinterpret_cast<Element*>(target)[e] = elements[e];
      }
    }
  }
};

}  // namespace provis
