#include "cpu/workspace.h"

#if defined(__unix__)
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <new>

namespace provis::cpu {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

class Buffer {
 public:
  ~Buffer() { std::free(data_); }
  char* at_least(size_t bytes) {
    if (bytes > bytes_) {
      std::free(data_);
      bytes_ = 0;
      data_ = static_cast<char*>(std::aligned_alloc(kAlignment, bytes));
      if (data_ == nullptr) throw std::bad_alloc();
      bytes_ = bytes;
    }
    return data_;
  }

 private:
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Bytes of the second-level cache; one megabyte where nobody tells.
int64_t cache_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static const int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return 1 << 20;
}

int64_t element_size(const KernelTable& kernel) { return kernel.pair == 2 ? 4 : kernel.element; }

}  // namespace

// Strips may take half of the cache, and more if the band were a single block otherwise: a strip
// is walked a few times, the keys and values once per band.
int band_of(const KernelTable& kernel, int64_t keys, int head_size, bool positions) {
  const int64_t row = round_up(head_size, int64_t{kernel.lanes} * kernel.pair);
  const int64_t matrices = positions ? 3 : 2;
  const int64_t packed = matrices * keys * row * element_size(kernel) / kernel.pair;
  if (kernel.max_band == 1 || packed <= cache_bytes() / 2) return 1;
  const int64_t strip = keys * kernel.rows * kernel.element;
  const int64_t fit = cache_bytes() / 2 / strip;
  return static_cast<int>(std::clamp<int64_t>(fit, 2, kernel.max_band));
}

int64_t keys_in_window(const KernelTable& kernel, int64_t keys, int64_t window) {
  if (window == 0) return keys;
  const int64_t most = round_up(2 * window + kernel.rows, kernel.tile) + kernel.tile;
  return std::min(keys, most);
}

int64_t chunk_of(const KernelTable& kernel, int head_size) {
  const int64_t tile = int64_t{kernel.tile} * head_size * element_size(kernel) / kernel.pair;
  return std::max<int64_t>(1, cache_bytes() / 8 / tile);
}

void carve_workspace(const AttentionCall& call, const KernelTable& kernel, int64_t longest,
                     int channels, int64_t reach, bool separation, HeadWork* work) {
  const int64_t tiles = (longest + kernel.tile - 1) / kernel.tile;
  const int64_t keys = tiles * kernel.tile;
  const int64_t steps = (call.head_size + kernel.pair - 1) / kernel.pair;
  const int64_t depth = round_up(steps, kernel.lanes);
  const int64_t width = round_up(call.head_size, kernel.lanes);
  const int64_t rows = round_up(kernel.rows, kernel.lanes);
  const int64_t element = element_size(kernel);
  const bool columns = call.mass != nullptr || call.received != nullptr;
  int most_classes = 0;
  for (int p = 0; p < call.n_properties; ++p) {
    if (call.properties[p].classes > most_classes) most_classes = call.properties[p].classes;
  }

  const int64_t strip = keys * kernel.rows * kernel.element;
  const bool positions = call.position_query.data != nullptr;
  const int64_t met = keys_in_window(kernel, keys, work->window);
  const int band = band_of(kernel, met, call.head_size, positions);
  work->max_band = band;
  const int64_t offsets_of_pairs = 2 * longest - 1;
  work->position_tiles = (offsets_of_pairs + kernel.tile - 1) / kernel.tile;
  const int64_t queries = int64_t{band} * kernel.rows * kernel.query_pitch * element;

  // First pass measures, second hands out.
  static thread_local Buffer buffer;
  char* base = nullptr;
  size_t used = 0;
  const auto take = [&](int64_t bytes) -> void* {
    void* p = base == nullptr || bytes == 0 ? nullptr : base + used;
    used += static_cast<size_t>(round_up(bytes, kAlignment));
    return p;
  };
  for (int pass = 0; pass < 2; ++pass) {
    if (pass == 1) base = buffer.at_least(used + kAlignment);
    used = 0;
    work->width = static_cast<int>(width);
    work->packed_key = take(keys * depth * element);
    work->packed_value =
        call.value.data == nullptr ? take(0) : take((keys + 1) / kernel.pair * width * element);
    work->queries = take(queries);
    work->packed_positions =
        take(positions ? work->position_tiles * kernel.tile * depth * element : 0);
    work->position_queries = take(positions ? queries : 0);
    work->position_strip =
        take(positions ? strip + 2 * kernel.tile * kernel.rows * kernel.element : 0);
    work->offset_bias =
        take(call.relative_bias == nullptr ? 0 : (offsets_of_pairs + kernel.tile) * kernel.element);
    work->rows_in = take(kernel.tile * depth * element);
    work->strips = take(band * strip);
    work->half_strips = static_cast<uint32_t*>(take(kernel.pair == 2 ? band * strip / 2 : 0));
    work->partial = take(int64_t{band} * kernel.rows * 2 * kernel.lanes * kernel.element);
    work->key_bias = take(keys * kernel.element);
    work->tile_has_bias = static_cast<uint8_t*>(take(tiles));
    work->residue_bits = static_cast<uint32_t*>(take(tiles * 4));
    work->row_mass = static_cast<double*>(take(rows * 8));
    work->class_mass = static_cast<double*>(take((most_classes + 2) * 8));
    work->arc_counts = static_cast<int64_t*>(
        take(call.arc_counts == nullptr ? 0 : int64_t{call.n_thresholds} * channels * 8));
    work->mass = static_cast<int64_t*>(take(call.mass == nullptr ? 0 : int64_t{channels} * 8));
    work->columns = static_cast<int64_t*>(take(columns ? keys * 8 : 0));
    const int64_t offsets = round_up(2 * reach + 1, kernel.lanes);  // whole vectors are added
    work->diagonals =
        static_cast<int64_t*>(take(call.mass != nullptr && separation ? offsets * 8 : 0));
  }
}

}  // namespace provis::cpu
