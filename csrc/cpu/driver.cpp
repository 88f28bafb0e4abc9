// Splits a call into tasks (sequence, head, chunk of queries), runs them on the kernels of this
// machine's instruction set, and adds what they found into the accumulators.
//
// The split depends on the sizes alone, never on the number of threads, and everything that is
// added is an integer: results are the same for any number of threads. Each task accumulates in
// memory of its own and adds to the shared accumulators once, at its end.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/head_work.h"
#include "cpu/workspace.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace provis {
namespace cpu {
namespace {

// Longer sequences are split by queries too, so that one (sequence, head) can use every thread.
// Each chunk packs the keys again: 1 / kChunk of its work. Multiple of every kernel's block.
constexpr int64_t kWhole = 1024;
constexpr int64_t kChunk = 528;

struct Task {
  int32_t sequence;
  int32_t head;
  int32_t first;
  int32_t last;
};

// Denormal numbers cost some processors a hundred cycles each; weights that small add nothing.
class [[maybe_unused]] FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

int64_t element_bytes(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

// Adds to an accumulator of one (sequence, head); atomically where several tasks share it.
void add_to(int64_t* total, int64_t amount, bool shared) {
  if (amount == 0) return;
  if (shared) {
    __atomic_fetch_add(total, amount, __ATOMIC_RELAXED);
  } else {
    *total += amount;
  }
}

class Run {
 public:
  Run(const AttentionCall& call, const KernelTable& kernel)
      : call_(call), kernel_(kernel), channels_(call.channels()) {
    prepare_sequences();
    for (int b = 1; b < call.n_bins; ++b) {  // no further than two tokens can be apart
      const int64_t end = std::min<int64_t>(call.bin_starts[b], longest_);
      bin_of_.resize(static_cast<size_t>(end), static_cast<uint8_t>(b - 1));
    }
    for (int t = 0; t < call.n_thresholds; ++t) {
      least_threshold_ = std::min(least_threshold_, call.thresholds[t]);
    }
    for (int p = 0; p < call.n_properties; ++p) {
      separation_ |= call.properties[p].kind == PropertyKind::kSeparation;
    }
  }

  void run() {
    std::atomic<size_t> next{0};
    std::exception_ptr failure;  // none may leave the parallel region
    const int threads = static_cast<int>(
        std::min(static_cast<size_t>(std::max(1, call_.num_threads)), tasks_.size()));
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      try {
        FlushDenormals flush;
        Worker worker(*this);
        for (size_t t = next++; t < tasks_.size(); t = next++) worker.run(tasks_[t]);
      } catch (...) {
#pragma omp critical
        failure = std::current_exception();
        next = tasks_.size();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  struct Sequence {
    int64_t begin;  // first token, counted over the batch
    int64_t n;
    int64_t keys;  // up to the last that may be attended
  };

  void prepare_sequences() {
    counted_.assign(static_cast<size_t>(call_.tokens), 1);
    for (int64_t t = 0; t < call_.tokens; ++t) {
      const bool allowed = call_.allowed == nullptr || call_.allowed[t] != 0;
      const bool residue = call_.residues == nullptr || call_.residues[t] != 0;
      counted_[static_cast<size_t>(t)] = allowed && residue;
    }
    for (int64_t s = 0; s < call_.sequences; ++s) {
      Sequence q;
      q.begin = call_.cu_seqlens != nullptr ? call_.cu_seqlens[s] : s * call_.length;
      q.n = call_.cu_seqlens != nullptr ? call_.cu_seqlens[s + 1] - q.begin : call_.length;
      q.keys = q.n;
      while (call_.allowed != nullptr && q.keys > 0 && call_.allowed[q.begin + q.keys - 1] == 0) {
        --q.keys;
      }
      sequences_.push_back(q);
      longest_ = std::max(longest_, q.n);
      const int64_t chunk = q.n <= kWhole ? q.n : kChunk;
      for (int64_t h = 0; h < call_.heads; ++h) {
        for (int64_t i = 0; i < q.n; i += chunk) {
          tasks_.push_back({static_cast<int32_t>(s), static_cast<int32_t>(h),
                            static_cast<int32_t>(i),
                            static_cast<int32_t>(std::min(i + chunk, q.n))});
        }
      }
    }
    // What depends on j - i is packed once per head and thread where a head's tasks follow another.
    if (call_.position_query.data != nullptr || call_.relative_bias != nullptr) {
      std::stable_sort(tasks_.begin(), tasks_.end(),
                       [](const Task& a, const Task& b) { return a.head < b.head; });
    }
  }

  class Worker {
   public:
    explicit Worker(Run& run) : run_(run), call_(run.call_) {
      work_.window = call_.window < run.longest_ ? call_.window : 0;
      work_.span = run.longest_ - 1;
      carve_workspace(call_, run.kernel_, run.longest_, run.channels_, reach(run.longest_),
                      run.separation_, &work_);
      properties_.resize(static_cast<size_t>(call_.n_properties));
      work_.dtype = call_.dtype;
      work_.depth = call_.head_size;
      work_.scale = call_.scale;
      work_.properties = properties_.data();
      work_.n_properties = call_.n_properties;
      work_.channels = run.channels_;
      work_.thresholds = call_.thresholds;
      work_.n_thresholds = call_.n_thresholds;
      work_.least_threshold = run.least_threshold_;
      work_.wants_entropy = call_.entropy != nullptr;
      work_.arc_index = call_.arc_index;
      work_.arc_weight = call_.arc_weight;
      work_.arc_total = call_.arc_total;
      work_.arc_capacity = call_.arc_capacity;
      if (run.kernel_.begin != nullptr) run.kernel_.begin(saved_);
    }
    ~Worker() {
      if (run_.kernel_.end != nullptr) run_.kernel_.end(saved_);
    }
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void run(const Task& task) {
      const Sequence& q = run_.sequences_[static_cast<size_t>(task.sequence)];
      // Within a window each task packs the keys that it reaches.
      if (task.sequence != sequence_ || task.head != head_ || work_.window > 0) enter(task, q);
      clear(q);
      const int64_t step = int64_t{work_.band} * run_.kernel_.rows;
      for (int64_t i = task.first; i < task.last; i += step) {
        const int64_t count = std::min<int64_t>(step, task.last - i);
        run_.kernel_.band(work_, i, static_cast<int>(count));
      }
      add_results(task, q);
    }

   private:
    int64_t reach(int64_t n) const {
      const int64_t near = static_cast<int64_t>(run_.bin_of_.size());
      return std::max<int64_t>(0, std::min(near, n) - 1);
    }

    static const char* origin(const TensorView& view, DType dtype, const Task& task,
                              const Sequence& q, bool packed) {
      if (view.data == nullptr) return nullptr;
      const int64_t row = packed ? q.begin * view.token_stride : task.sequence * view.batch_stride;
      return static_cast<const char*>(view.data) +
             (row + task.head * view.head_stride) * element_bytes(dtype);
    }

    void enter(const Task& task, const Sequence& q) {
      const bool packed = call_.cu_seqlens != nullptr;
      const KernelTable& kernel = run_.kernel_;
      HeadWork& w = work_;
      w.query = origin(call_.query, call_.dtype, task, q, packed);
      w.key = origin(call_.key, call_.dtype, task, q, packed);
      w.value = origin(call_.value, call_.dtype, task, q, packed);
      w.output = const_cast<char*>(origin(call_.output, call_.dtype, task, q, packed));
      w.query_stride = call_.query.token_stride;
      w.key_stride = call_.key.token_stride;
      w.value_stride = call_.value.token_stride;
      w.output_stride = call_.output.token_stride;
      w.position_query = origin(call_.position_query, call_.dtype, task, q, packed);
      w.position_query_stride = call_.position_query.token_stride;
      w.position_key = position_keys(task.head);
      w.position_key_stride = call_.position_key.token_stride;
      const bool last = task.head + 1 == call_.heads;
      w.next_query = last ? 0 : call_.query.head_stride;
      w.next_key = last ? 0 : call_.key.head_stride;
      w.next_value = last || w.value == nullptr ? 0 : call_.value.head_stride;
      if (call_.lse != nullptr) {
        const int64_t at = packed ? task.head * call_.tokens + q.begin
                                  : (task.sequence * call_.heads + task.head) * q.n;
        w.lse = static_cast<char*>(call_.lse) + at * (call_.dtype == DType::kFloat64 ? 8 : 4);
      }
      w.n = q.n;
      w.keys = q.keys;
      w.tiles = (q.keys + kernel.tile - 1) / kernel.tile;
      w.window = call_.window < q.n ? call_.window : 0;
      w.task_begin = 0;
      w.task_end = w.tiles;
      if (w.window > 0) {
        w.task_end = std::min(w.tiles, (task.last + w.window - 2) / kernel.tile + 1);
        w.task_begin = std::max<int64_t>(0, task.first - w.window + 1) / kernel.tile;
        w.task_begin = std::min(w.task_begin, w.task_end);
      }
      const int64_t met = keys_in_window(kernel, w.tiles * kernel.tile, w.window);
      w.band = std::min(w.max_band, band_of(kernel, met, w.depth, w.position_query != nullptr));
      w.chunk = w.band == 1 ? std::max<int64_t>(1, w.tiles) : chunk_of(kernel, w.depth);
      w.allowed = call_.allowed == nullptr ? nullptr : call_.allowed + q.begin;
      w.additive = call_.additive == nullptr ? nullptr : call_.additive + q.begin;
      w.counted = run_.counted_.data() + q.begin;
      w.relative_bias = call_.relative_bias == nullptr
                            ? nullptr
                            : call_.relative_bias + task.head * call_.bias_length +
                                  call_.bias_length / 2 - w.span;
      w.reach = reach(q.n);
      w.sequence = task.sequence;
      w.head = task.head;
      w.new_sequence = task.sequence != sequence_;
      w.new_head = task.head != head_;
      if (w.new_sequence) view_properties(task.sequence, q);
      sequence_ = task.sequence;
      head_ = task.head;
      kernel.pack(w);
    }

    // Of one head, from offset j - i = -span on.
    const char* position_keys(int64_t head) const {
      const TensorView& view = call_.position_key;
      if (view.data == nullptr) return nullptr;
      const int64_t row = call_.position_length / 2 - work_.span;
      return static_cast<const char*>(view.data) +
             (row * view.token_stride + head * view.head_stride) * element_bytes(call_.dtype);
    }

    // Keys within reach of the task.
    int64_t first_key() const { return work_.task_begin * run_.kernel_.tile; }
    int64_t last_key() const { return std::min(work_.keys, work_.task_end * run_.kernel_.tile); }

    void view_properties(int64_t sequence, const Sequence& q) {
      int channel = 1;
      for (int p = 0; p < call_.n_properties; ++p) {
        const Property& from = call_.properties[p];
        SequenceProperty& to = properties_[static_cast<size_t>(p)];
        to = SequenceProperty{};
        to.kind = from.kind;
        to.classes = from.classes;
        to.channel = channel;
        while ((to.side + 1) * (to.side + 1) <= from.classes) ++to.side;
        to.labels = from.labels == nullptr ? nullptr : from.labels + q.begin;
        to.values = from.values == nullptr ? nullptr : from.values + q.begin;
        if (from.kind == PropertyKind::kPair) {
          to.words = (q.n + 31) / 32;
          to.set = from.pairs + from.pair_offsets[sequence];
          to.valid = to.set + q.n * to.words;
        }
        to.bin_of = run_.bin_of_.data();
        to.near = static_cast<int64_t>(run_.bin_of_.size());
        channel += 1 + from.classes;
      }
    }

    void clear(const Sequence& q) {
      HeadWork& w = work_;
      const auto zero = [](int64_t* p, int64_t n) {
        if (p != nullptr) std::memset(p, 0, static_cast<size_t>(n) * sizeof *p);
      };
      zero(w.arc_counts, static_cast<int64_t>(w.n_thresholds) * w.channels);
      zero(w.mass, w.channels);
      const int64_t reached = (w.task_end - w.task_begin) * run_.kernel_.tile;
      zero(w.columns == nullptr ? nullptr : w.columns + first_key(), reached);
      zero(w.diagonals, 2 * reach(q.n) + 1);
      w.entropy = 0;
      w.not_finite = false;
      w.arc_overflow = false;
    }

    void add_results(const Task& task, const Sequence& q) {
      const int64_t s = task.sequence;
      const int64_t cell = s * call_.heads + task.head;
      const bool shared = q.n > kWhole;
      if (call_.flags != nullptr && (work_.not_finite || work_.arc_overflow)) {
        const int32_t flag =
            (work_.not_finite ? kNotFinite : 0) | (work_.arc_overflow ? kArcOverflow : 0);
        __atomic_fetch_or(call_.flags + s, flag, __ATOMIC_RELAXED);
      }
      for (int t = 0; work_.arc_counts != nullptr && t < call_.n_thresholds; ++t) {
        int64_t* total = call_.arc_counts +
                         ((s * call_.n_thresholds + t) * call_.heads + task.head) * work_.channels;
        const int64_t* found = work_.arc_counts + static_cast<int64_t>(t) * work_.channels;
        for (int c = 0; c < work_.channels; ++c) add_to(total + c, found[c], shared);
      }
      if (work_.mass != nullptr) {
        fold_columns();
        fold_diagonals(q);
        int64_t* total = call_.mass + cell * work_.channels;
        for (int c = 0; c < work_.channels; ++c) add_to(total + c, work_.mass[c], shared);
      }
      if (call_.received != nullptr) {
        int64_t* total = call_.received + task.head * call_.tokens + q.begin;
        for (int64_t j = first_key(); j < last_key(); ++j) {
          add_to(total + j, work_.columns[j], shared);
        }
      }
      if (call_.entropy != nullptr) add_to(call_.entropy + cell, work_.entropy, shared);
    }

    // What depends on the key alone follows from the attention that each key received; keys that
    // are no residues received none.
    void fold_columns() {
      HeadWork& w = work_;
      const int64_t begin = first_key(), end = last_key();
      for (int64_t j = begin; j < end; ++j) w.mass[0] += w.columns[j];
      for (int p = 0; p < w.n_properties; ++p) {
        const SequenceProperty& property = w.properties[p];
        int64_t* mass = w.mass + property.channel;
        if (property.kind == PropertyKind::kKeyClass) {
          // Slot 0 is for unknown labels, the last one for known ones of no class.
          const int classes = property.classes;
          slots_.assign(static_cast<size_t>(classes) + 2, 0);
          for (int64_t j = begin; j < end; ++j) {
            const int slot = std::clamp<int>(property.labels[j], -1, classes) + 1;
            slots_[static_cast<size_t>(slot)] += w.columns[j];
          }
          for (int c = 0; c < classes; ++c) mass[1 + c] += slots_[static_cast<size_t>(c) + 1];
          for (size_t slot = 1; slot < slots_.size(); ++slot) mass[0] += slots_[slot];
        } else if (property.kind == PropertyKind::kKeyValue) {
          __extension__ __int128 sum = 0;
          for (int64_t j = begin; j < end; ++j) {
            const int64_t value = property.values[j];
            if (value == kUnknownValue) continue;
            mass[0] += w.columns[j];
            sum += static_cast<__int128_t>(w.columns[j]) * value;
          }
          mass[1] += static_cast<int64_t>((sum + (1 << 15)) >> 16);
        }
      }
    }

    // The last separation bin is what the others leave of the whole.
    void fold_diagonals(const Sequence& q) {
      for (int p = 0; p < work_.n_properties; ++p) {
        const SequenceProperty& property = work_.properties[p];
        if (property.kind != PropertyKind::kSeparation) continue;
        int64_t* mass = work_.mass + property.channel;
        int64_t near = 0;
        for (int64_t offset = -work_.reach; work_.diagonals != nullptr && offset <= work_.reach;
             ++offset) {
          const int64_t distance = offset < 0 ? -offset : offset;
          if (distance >= property.near) continue;
          const int64_t found = work_.diagonals[offset + work_.reach];
          mass[1 + property.bin_of[distance]] += found;
          near += found;
        }
        const int64_t far =
            q.n > property.near ? std::max<int64_t>(0, work_.mass[0] - near) : int64_t{0};
        mass[property.classes] += far;
        mass[0] += near + far;
      }
    }

    Run& run_;
    const AttentionCall& call_;
    HeadWork work_{};
    std::vector<SequenceProperty> properties_;
    std::vector<int64_t> slots_;  // scratch of fold_columns
    alignas(64) char saved_[kSavedBytes];
    int32_t sequence_ = -1;
    int32_t head_ = -1;
  };

  const AttentionCall& call_;
  const KernelTable& kernel_;
  const int channels_;
  std::vector<Sequence> sequences_;
  std::vector<Task> tasks_;
  std::vector<uint8_t> counted_;
  std::vector<uint8_t> bin_of_;
  double least_threshold_ = 2.0;
  bool separation_ = false;
  int64_t longest_ = 0;
};

}  // namespace

void run_call(const AttentionCall& call, const KernelTable& kernel) { Run(call, kernel).run(); }

}  // namespace cpu
}  // namespace provis
