// Queries and keys in shared memory, and the products of a warp's queries with 64 keys.
//
// A warp has one or two row tiles of 16 queries. With two, every fragment of keys that is loaded
// from shared memory is multiplied twice, and every key that is loaded from global memory serves
// 128 queries of the block instead of 64. That halves the traffic which bounds the products: at one
// row tile, a warp reads 8 KiB for 32 products of m16n8k16, which take half as long on Hopper's
// tensor cores as the reading.
//
// Rows are cut into units of 16 bytes. A row's pitch in shared memory is an odd number of units, so
// that eight rows at the same unit lie in different banks: ldmatrix and the float32 loads below
// have no conflicts. What a row lacks, because the head is smaller than the tile's depth or because
// the row does not count, is zero.
#pragma once

#include "core/fragment.h"
#include "core/place.h"

namespace provis {

// Elements of the inputs, by the tensor-core instruction that multiplies them.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// kDepth: the head size, rounded up to what there is a kernel for; 0 for float32, whose kernel
// takes any. Keys are staged in chunks of their depth.
template <class Element, int kDepth, int kTiles, bool kKeepsQueries>
struct TileShape {
  static constexpr bool kTensorCores = sizeof(Element) == 2;
  static constexpr int kRowTiles = kTiles;  // of 16 queries, for each warp
  static constexpr int kBlockQueries = kBlockWarps * kRowTiles * kWarpRows;
  static_assert(kBlockQueries <= kMaxBlockQueries, "what launches count with");
  static constexpr int kPerUnit = 16 / static_cast<int>(sizeof(Element));
  static constexpr int kChunk = !kTensorCores ? 32 : kDepth > 128 ? 128 : kDepth;
  static constexpr int kUnits = kChunk / kPerUnit;  // even
  static constexpr int kKeyPitch = kUnits + 1;
  static constexpr int kStageBytes = kTileKeys * kKeyPitch * 16;
  // Fragments of the queries stay in registers, where these suffice.
  static constexpr bool kQueryInRegisters = kKeepsQueries;
  static constexpr int kSteps = kChunk / 16;  // products of depth 16 in a chunk

  static PROVIS_HD int chunks(const TwoPassCall& call) {
    return kTensorCores ? kDepth / kChunk : (call.head_size + kChunk - 1) / kChunk;
  }
  static PROVIS_HD int query_pitch(int chunks) { return chunks * kUnits + 1; }
};

// Rows of one (sequence, head).
struct Rows {
  const char* data;
  int64_t stride;  // bytes
  int bytes;       // of a row
  bool vectors;
};

template <class Element>
PROVIS_HD Rows rows_of(const TwoPassCall& call, const TensorView& view, bool vectors,
                       const Place& place) {
  const int64_t at = (call.cu_seqlens != nullptr ? place.begin * view.token_stride
                                                 : place.sequence * view.batch_stride) +
                     place.head * view.head_stride;
  constexpr int kBytes = static_cast<int>(sizeof(Element));
  return {static_cast<const char*>(view.data) + at * kBytes, view.token_stride * kBytes,
          call.head_size * kBytes, vectors};
}

// Bytes of a unit of 16 that belong to the row; the others are zero.
static PROVIS_HD int bytes_of_unit(const Rows& rows, int offset) {
  const int left = rows.bytes - offset;
  return left < 0 ? 0 : left > 16 ? 16 : left;
}

// Copies kRows rows from `first` on, units of one chunk of their depth, to a tile of the given
// pitch. Rows with keep(row) false are zero, and their memory is not touched. The copies are in
// flight until gpu.wait().
template <class Shape, int kRows, class Gpu, class Keep>
PROVIS_HD void copy_rows(const Gpu& gpu, const Rows& rows, int64_t first, int chunk, char* tile,
                         int pitch, Keep keep) {
  constexpr int kUnits = Shape::kUnits;
  constexpr int kCopies = kRows * kUnits / kBlockThreads;
  static_assert(kRows * kUnits % kBlockThreads == 0, "all threads copy alike");
  int row = gpu.thread() / kUnits;
  int unit = gpu.thread() % kUnits;
  if constexpr (kBlockThreads % kUnits == 0) {  // a thread copies one unit of every so many rows
    constexpr int kStep = kBlockThreads / kUnits;
    const int offset = (chunk * kUnits + unit) * 16;
    const int bytes = bytes_of_unit(rows, offset);
    const char* from = rows.data + (first + row) * rows.stride + offset;
    char* to = tile + (row * pitch + unit) * 16;
    const auto copy_next = [&] {
      gpu.copy_async(to, from, keep(row) ? bytes : 0);
      row += kStep;
      from += kStep * rows.stride;
      to += kStep * pitch * 16;
    };
    if constexpr (kCopies <= 4) {
      PROVIS_UNROLL
      for (int c = 0; c < kCopies; ++c) copy_next();
    } else {  // addresses of many copies would take many registers
      PROVIS_NO_UNROLL
      for (int c = 0; c < kCopies; ++c) copy_next();
    }
  } else {
    PROVIS_NO_UNROLL
    for (int c = 0; c < kCopies; ++c) {
      const int offset = (chunk * kUnits + unit) * 16;
      const char* from = rows.data + (first + row) * rows.stride + offset;
      const int bytes = keep(row) ? bytes_of_unit(rows, offset) : 0;
      gpu.copy_async(tile + (row * pitch + unit) * 16, from, bytes);
      row += kBlockThreads / kUnits;
      unit += kBlockThreads % kUnits;
      if (unit >= kUnits) {
        unit -= kUnits;
        ++row;
      }
    }
  }
}

// The same element by element, where rows are not aligned to 16 bytes; done on return.
template <class Shape, int kRows, class Element, class Gpu, class Keep>
PROVIS_HD void gather_rows(const Gpu& gpu, const Rows& rows, int64_t first, int chunk, char* tile,
                           int pitch, Keep keep) {
  for (int u = gpu.thread(); u < kRows * Shape::kUnits; u += kBlockThreads) {
    const int row = u / Shape::kUnits;
    const int unit = u - row * Shape::kUnits;
    const int offset = (chunk * Shape::kUnits + unit) * 16;
    const int bytes = keep(row) ? bytes_of_unit(rows, offset) : 0;
    const Element* from =
        reinterpret_cast<const Element*>(rows.data + (first + row) * rows.stride + offset);
    Element elements[Shape::kPerUnit];
    PROVIS_UNROLL
    for (int e = 0; e < Shape::kPerUnit; ++e) {
      elements[e] = Element{};
      if ((e + 1) * static_cast<int>(sizeof(Element)) <= bytes) elements[e] = from[e];
    }
    gpu.store_unit(tile + (row * pitch + unit) * 16, elements);
  }
}

template <class Shape, int kRows, class Element, class Gpu, class Keep>
PROVIS_HD void load_rows(const Gpu& gpu, const Rows& rows, int64_t first, int chunk, char* tile,
                         int pitch, Keep keep) {
  if (rows.vectors) {
    copy_rows<Shape, kRows>(gpu, rows, first, chunk, tile, pitch, keep);
  } else {
    gather_rows<Shape, kRows, Element>(gpu, rows, first, chunk, tile, pitch, keep);
  }
}

// Where a lane's row of the four 8 x 8 matrices of ldmatrix.x4 begins. Matrix m = lane / 8:
// of a row tile of queries, rows 8 (m % 2) on and depths 8 (m / 2) on, the fragment A of m16n8k16;
static PROVIS_HD const char* query_matrices(const char* tile, int pitch, int row_tile, int lane,
                                            int step) {
  const int row = kWarpRows * row_tile + (lane & 7) + ((lane >> 3) & 1) * 8;
  return tile + (row * pitch + 2 * step + (lane >> 4)) * 16;
}

// of keys, rows 8 (m / 2) on and depths 8 (m % 2) on: fragments B of two products side by side.
static PROVIS_HD const char* key_matrices(const char* tile, int pitch, int pair, int lane,
                                          int step) {
  const int row = 16 * pair + (lane & 7) + (lane >> 4) * 8;
  return tile + (row * pitch + 2 * step + ((lane >> 3) & 1)) * 16;
}

template <class Shape>
struct QueryFragments {
  static constexpr int kKept = Shape::kQueryInRegisters ? Shape::kSteps : 1;
  uint32_t kept[Shape::kRowTiles][kKept][4];

  template <class Gpu>
  PROVIS_HD void load(const Gpu& gpu, const char* tile, int pitch) {
    if constexpr (Shape::kQueryInRegisters) {
      PROVIS_UNROLL
      for (int t = 0; t < Shape::kRowTiles; ++t) {
        PROVIS_UNROLL
        for (int step = 0; step < Shape::kSteps; ++step) {
          const int row_tile = gpu.warp() * Shape::kRowTiles + t;
          gpu.load_matrices(kept[t][step], query_matrices(tile, pitch, row_tile, gpu.lane(), step));
        }
      }
    }
  }
};

// Scores of a lane: its 32 elements of every row tile.
template <class Shape>
using ScoreTiles = float[Shape::kRowTiles][kLaneElements];

// Adds the products over one chunk of the depth to the lane's scores, on tensor cores.
template <class Shape, class Element, class Gpu>
PROVIS_HD void multiply_chunk(const Gpu& gpu, const QueryFragments<Shape>& fragments,
                              const char* queries, int query_pitch, const char* keys, int chunk,
                              ScoreTiles<Shape>& scores) {
  PROVIS_UNROLL
  for (int step = 0; step < Shape::kSteps; ++step) {
    uint32_t a[Shape::kRowTiles][4];
    PROVIS_UNROLL
    for (int t = 0; t < Shape::kRowTiles; ++t) {
      if constexpr (Shape::kQueryInRegisters) {
        PROVIS_UNROLL
        for (int x = 0; x < 4; ++x) a[t][x] = fragments.kept[t][step][x];
      } else {
        const int row_tile = gpu.warp() * Shape::kRowTiles + t;
        gpu.load_matrices(a[t], query_matrices(queries, query_pitch, row_tile, gpu.lane(),
                                               chunk * Shape::kSteps + step));
      }
    }
    PROVIS_UNROLL
    for (int pair = 0; pair < kTileKeys / 16; ++pair) {
      uint32_t b[4];
      gpu.load_matrices(b, key_matrices(keys, Shape::kKeyPitch, pair, gpu.lane(), step));
      PROVIS_UNROLL
      for (int t = 0; t < Shape::kRowTiles; ++t) {
        gpu.template multiply<Element>(scores[t] + 8 * pair, a[t], b[0], b[1]);
        gpu.template multiply<Element>(scores[t] + 8 * pair + 4, a[t], b[2], b[3]);
      }
    }
  }
}

// The same in plain float32: fused multiply-adds in the order of the depth, never TF32.
template <class Shape, class Gpu>
PROVIS_HD void multiply_chunk_float(const Gpu& gpu, const char* queries, int query_pitch,
                                    const char* keys, int chunk, ScoreTiles<Shape>& scores) {
  const int row = kWarpRows * Shape::kRowTiles * gpu.warp() + (gpu.lane() >> 2);
  const char* query = queries + (row * query_pitch + chunk * Shape::kUnits) * 16;
  const char* key = keys + 2 * (gpu.lane() & 3) * Shape::kKeyPitch * 16;
  for (int unit = 0; unit < Shape::kUnits; ++unit) {
    float q[2 * Shape::kRowTiles][4];
    PROVIS_UNROLL
    for (int r = 0; r < 2 * Shape::kRowTiles; ++r) {
      gpu.load_unit(q[r], query + (8 * r * query_pitch + unit) * 16);
    }
    PROVIS_UNROLL
    for (int c = 0; c < 16; ++c) {  // column 8 (c / 2) + 2 (lane % 4) + c % 2
      float k[4];
      gpu.load_unit(k, key + ((8 * (c >> 1) + (c & 1)) * Shape::kKeyPitch + unit) * 16);
      const int e = 4 * (c >> 1) + (c & 1);
      PROVIS_UNROLL
      for (int r = 0; r < 2 * Shape::kRowTiles; ++r) {
        float& score = scores[r >> 1][e + 2 * (r & 1)];
        PROVIS_UNROLL
        for (int d = 0; d < 4; ++d) score = gpu.fma(q[r][d], k[d], score);
      }
    }
  }
}

}  // namespace provis
