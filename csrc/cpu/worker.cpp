#include "cpu/worker.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "cpu/task_results.h"
#include "cpu/workspace.h"

namespace provis::cpu {
namespace {

int64_t element_bytes(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

// First row of a (sequence, head).
const char* origin(const TensorView& view, DType dtype, const Task& task, const Sequence& q,
                   bool packed) {
  if (view.data == nullptr) return nullptr;
  const int64_t row = packed ? q.begin * view.token_stride : task.sequence * view.batch_stride;
  return static_cast<const char*>(view.data) +
         (row + task.head * view.head_stride) * element_bytes(dtype);
}

}  // namespace

Worker::Worker(const CallPlan& plan) : plan_(plan), call_(plan.call) {
  work_.window = call_.window < plan.longest ? call_.window : 0;
  work_.span = plan.longest - 1;
  carve_workspace(call_, plan.kernel, plan.longest, plan.channels, plan.reach(plan.longest),
                  plan.separation, &work_);
  properties_.resize(static_cast<size_t>(call_.n_properties));
  work_.dtype = call_.dtype;
  work_.depth = call_.head_size;
  work_.scale = call_.scale;
  work_.properties = properties_.data();
  work_.n_properties = call_.n_properties;
  work_.channels = plan.channels;
  work_.thresholds = call_.thresholds;
  work_.n_thresholds = call_.n_thresholds;
  work_.least_threshold = plan.least_threshold;
  work_.wants_entropy = call_.entropy != nullptr;
  work_.arc_index = call_.arc_index;
  work_.arc_weight = call_.arc_weight;
  work_.arc_total = call_.arc_total;
  work_.arc_capacity = call_.arc_capacity;
  if (plan.kernel.begin != nullptr) plan.kernel.begin(saved_);
}

Worker::~Worker() {
  if (plan_.kernel.end != nullptr) plan_.kernel.end(saved_);
}

void Worker::run(const Task& task) {
  const Sequence& q = plan_.sequence_of(task);
  // Within a window each task packs the keys that it reaches.
  if (task.sequence != sequence_ || task.head != head_ || work_.window > 0) enter(task, q);
  clear();
  const int64_t step = int64_t{work_.band} * plan_.kernel.rows;
  for (int64_t i = task.first; i < task.last; i += step) {
    const int64_t count = std::min<int64_t>(step, task.last - i);
    plan_.kernel.band(work_, i, static_cast<int>(count));
  }
  add_results(plan_, task, &work_, &slots_);
}

void Worker::enter(const Task& task, const Sequence& q) {
  view_tensors(task, q);
  choose_tiles(task, q);
  HeadWork& w = work_;
  w.allowed = call_.allowed == nullptr ? nullptr : call_.allowed + q.begin;
  w.additive = call_.additive == nullptr ? nullptr : call_.additive + q.begin;
  w.counted = plan_.counted.data() + q.begin;
  w.relative_bias =
      call_.relative_bias == nullptr
          ? nullptr
          : call_.relative_bias + task.head * call_.bias_length + call_.bias_length / 2 - w.span;
  w.reach = plan_.reach(q.n);
  w.sequence = task.sequence;
  w.head = task.head;
  w.new_sequence = task.sequence != sequence_;
  w.new_head = task.head != head_;
  if (w.new_sequence) view_properties(task.sequence, q);
  sequence_ = task.sequence;
  head_ = task.head;
  plan_.kernel.pack(w);
}

void Worker::view_tensors(const Task& task, const Sequence& q) {
  const bool packed = call_.cu_seqlens != nullptr;
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
}

// Of one head, from offset j - i = -span on.
const char* Worker::position_keys(int64_t head) const {
  const TensorView& view = call_.position_key;
  if (view.data == nullptr) return nullptr;
  const int64_t row = call_.position_length / 2 - work_.span;
  return static_cast<const char*>(view.data) +
         (row * view.token_stride + head * view.head_stride) * element_bytes(call_.dtype);
}

void Worker::choose_tiles(const Task& task, const Sequence& q) {
  const KernelTable& kernel = plan_.kernel;
  HeadWork& w = work_;
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
}

void Worker::view_properties(int64_t sequence, const Sequence& q) {
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
    to.bin_of = plan_.bin_of.data();
    to.near = static_cast<int64_t>(plan_.bin_of.size());
    channel += 1 + from.classes;
  }
}

void Worker::clear() {
  HeadWork& w = work_;
  const auto zero = [](int64_t* p, int64_t n) {
    if (p != nullptr) std::memset(p, 0, static_cast<size_t>(n) * sizeof *p);
  };
  zero(w.arc_counts, static_cast<int64_t>(w.n_thresholds) * w.channels);
  zero(w.mass, w.channels);
  const int64_t reached = (w.task_end - w.task_begin) * plan_.kernel.tile;
  zero(w.columns == nullptr ? nullptr : w.columns + first_key(plan_.kernel, w), reached);
  zero(w.diagonals, 2 * w.reach + 1);
  w.entropy = 0;
  w.not_finite = false;
  w.arc_overflow = false;
}

}  // namespace provis::cpu
