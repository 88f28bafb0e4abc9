#include "cuda/launches.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "core/fused.h"
#include "core/two_pass.h"

namespace provis::cuda {
namespace {

constexpr int64_t kMaxGridX = 2147483647;
constexpr int64_t kMaxGridYZ = 65535;
// More counters than this cost resident blocks; counting arcs in global memory costs less.
constexpr int64_t kMaxArcCounterBytes = 16384;
constexpr int kDepths[] = {16, 32, 64, 96, 128, 256};

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void expect_pointers(const AttentionCall& call) {
  if (call.query.data == nullptr || call.key.data == nullptr) {
    refuse("query, key: expected data, got null");
  }
  const bool wants_arcs = call.arc_counts != nullptr || call.arc_index != nullptr;
  if (wants_arcs && call.n_thresholds < 1) {
    refuse("thresholds: expected at least one for arcs, got none");
  }
  if (call.arc_index != nullptr && (call.arc_weight == nullptr || call.arc_total == nullptr)) {
    refuse("arc_weight, arc_total: expected with arc_index, got null");
  }
}

void expect_sizes(const AttentionCall& call) {
  if (call.head_size < 1 || call.head_size > kMaxHeadSize) {
    refuse("head_size: expected 1.." + std::to_string(kMaxHeadSize) + ", got " +
           std::to_string(call.head_size));
  }
  if (!(call.scale > 0) || !std::isfinite(static_cast<float>(call.scale))) {
    refuse("scale: expected a positive number, got " + std::to_string(call.scale));
  }
  if (call.n_thresholds > kMaxThresholds) {
    refuse("thresholds: expected at most " + std::to_string(kMaxThresholds) + " on a GPU, got " +
           std::to_string(call.n_thresholds));
  }
  if (call.position_query.data != nullptr || call.position_key.data != nullptr) {
    refuse(
        "position_query, position_key: terms of relative position are not supported on a GPU yet; "
        "compute on the CPU");
  }
  if (call.window < 0) {
    refuse("window: expected 0 or more, got " + std::to_string(call.window));
  }
  if (call.cu_seqlens == nullptr && call.relative_bias != nullptr &&
      call.bias_length / 2 < call.length - 1) {
    refuse("relative_bias: expected [H, 2 R + 1] with R >= " + std::to_string(call.length - 1) +
           ", got length " + std::to_string(call.bias_length));
  }
  if (call.n_bins > kMaxBins) {
    refuse("bin_starts: expected at most " + std::to_string(kMaxBins) + " bins, got " +
           std::to_string(call.n_bins));
  }
  for (int b = 0; b < call.n_bins; ++b) {
    if (b == 0 ? call.bin_starts[b] != 0 : call.bin_starts[b] <= call.bin_starts[b - 1]) {
      refuse("bin_starts: expected ascending numbers from 0, got " +
             std::to_string(call.bin_starts[b]) + " as bin " + std::to_string(b));
    }
  }
  constexpr int64_t kMost =
      INT32_MAX - kMaxBlockQueries - kTileKeys;  // room to look beyond the end
  if (call.tokens > kMost || call.sequences > kMost || call.heads > kMost) {
    refuse("tokens, sequences, heads: expected at most " + std::to_string(kMost) + ", got " +
           std::to_string(call.tokens) + ", " + std::to_string(call.sequences) + " and " +
           std::to_string(call.heads));
  }
}

PropertyTable table_of(const AttentionCall& call, const Property& property, int slot) {
  if (!has_table(property)) {
    refuse(
        "properties: expected labels (classes), values (key values) or pairs and pair_offsets "
        "(pairs), got null");
  }
  if (property.kind == PropertyKind::kSeparation && property.classes != call.n_bins) {
    refuse("bin_starts: expected one per class of separation (" + std::to_string(property.classes) +
           "), got " + std::to_string(call.n_bins));
  }
  PropertyTable table{};
  table.kind = property.kind;
  table.classes = property.classes;
  table.slot = slot;
  while ((table.side + 1) * (table.side + 1) <= property.classes) ++table.side;
  table.labels = property.labels;
  table.values = property.values;
  table.pairs = property.pairs;
  table.pair_words = property.pair_words;
  table.pair_offsets = property.pair_offsets;
  return table;
}

bool in_vectors(const TensorView& view, int64_t element, bool batched) {
  const auto whole = [&](int64_t stride) { return stride * element % 16 == 0; };
  return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && whole(view.token_stride) &&
         whole(view.head_stride) && (!batched || whole(view.batch_stride));
}

// What the kernel of one depth takes.
struct BlockSize {
  int64_t queries;
  int64_t base_bytes;  // of shared memory, without counters
};

template <class Element, int kDepth>
BlockSize block_size(const TwoPassCall& call, bool weighted) {
  using Plain = TwoPassShape<Element, kDepth, false>;
  using Weighted = TwoPassShape<Element, kDepth, true>;
  static_assert(Plain::kBlockQueries == Weighted::kBlockQueries, "one grid for both");
  const SharedLayout layout =
      weighted ? shared_layout<Weighted, true>(call) : shared_layout<Plain, false>(call);
  return {Plain::kBlockQueries, layout.counters_at()};
}

template <int kDepth>
BlockSize fused_block_size(const FusedCall& call) {
  using Shape = FusedShape<BFloat16, kDepth>;
  return {Shape::kBlockQueries, fused_layout<Shape>(call).counters_at()};
}

BlockSize block_size(const Launch& launch) {
  const FusedCall& call = launch.call;
  const bool weighted = launch.weighted;
  if (launch.fused) {
    switch (launch.depth) {
      case 16:
        return fused_block_size<16>(call);
      case 32:
        return fused_block_size<32>(call);
      case 64:
        return fused_block_size<64>(call);
      case 96:
        return fused_block_size<96>(call);
      default:
        return fused_block_size<128>(call);
    }
  }
  switch (launch.depth) {
    case 16:
      return block_size<BFloat16, 16>(call, weighted);
    case 32:
      return block_size<BFloat16, 32>(call, weighted);
    case 64:
      return block_size<BFloat16, 64>(call, weighted);
    case 96:
      return block_size<BFloat16, 96>(call, weighted);
    case 128:
      return block_size<BFloat16, 128>(call, weighted);
    case 256:
      return block_size<BFloat16, 256>(call, weighted);
    default:
      return block_size<float, 0>(call, weighted);
  }
}

// All that the launches of one call have in common.
Launch common_launch(const AttentionCall& call) {
  Launch all{};
  TwoPassCall& to = all.call;
  to.query = call.query;
  to.key = call.key;
  const int64_t element = call.dtype == DType::kFloat32 ? 4 : 2;
  const bool batched = call.cu_seqlens == nullptr;
  to.query_vectors = in_vectors(call.query, element, batched);
  to.key_vectors = in_vectors(call.key, element, batched);
  to.cu_seqlens = call.cu_seqlens;
  to.sequences = call.sequences;
  to.heads = call.heads;
  to.tokens = call.tokens;
  to.length = call.length;
  to.head_size = call.head_size;
  to.scale = static_cast<float>(call.scale);
  to.allowed = call.allowed;
  to.additive = call.additive;
  to.residues = call.residues;
  to.relative_bias = call.relative_bias;
  to.bias_length = call.bias_length;
  // What reaches beyond every sequence is none; so sums of it and a position stay in 32 bits.
  to.window = call.window < call.tokens ? static_cast<int>(call.window) : 0;
  to.channels = call.channels();
  to.n_bins = call.n_bins;
  std::copy_n(call.bin_starts, call.n_bins, to.bin_starts);
  to.n_thresholds = call.n_thresholds;
  to.least_log_threshold = INFINITY;
  for (int t = 0; t < call.n_thresholds; ++t) {
    to.log_thresholds[t] = static_cast<float>(std::log(call.thresholds[t]));
    if (call.arc_counts == nullptr && call.arc_index == nullptr) continue;
    to.least_log_threshold = std::min(to.least_log_threshold, to.log_thresholds[t]);
  }
  to.arc_counts = call.arc_counts;
  to.mass = call.mass;
  to.received = call.received;
  to.entropy = call.entropy;
  to.arc_index = call.arc_index;
  to.arc_weight = call.arc_weight;
  to.arc_total = call.arc_total;
  to.arc_capacity = call.arc_capacity;
  to.flags = call.flags;
  all.weighted = call.mass != nullptr || call.received != nullptr || call.entropy != nullptr;
  for (int depth : kDepths) {
    if (call.dtype == DType::kFloat32 || all.depth >= call.head_size) break;
    all.depth = depth;
  }
  return all;
}

// Fills in properties from `first` on, as many as one launch takes; returns the one after the last.
int take_properties(const AttentionCall& call, int first, Launch& launch) {
  TwoPassCall& to = launch.call;
  to.first_launch = first == 0;
  to.n_properties = 0;
  to.slots = 1;
  to.channel_offset = 0;
  for (int p = 0; p < first; ++p) to.channel_offset += 1 + call.properties[p].classes;
  const int64_t base = block_size(launch).base_bytes;
  const int64_t most_slots = (kMaxSharedBytes - base) / 8 - 1;
  int p = first;
  for (; p < call.n_properties && to.n_properties < kMaxPropertiesOfLaunch; ++p) {
    const Property& property = call.properties[p];
    const int64_t slots = int64_t{to.slots} + 1 + property.classes;
    if (launch.weighted && slots > most_slots) {
      if (to.n_properties > 0) break;
      refuse("properties: expected at most " + std::to_string(most_slots - 2) +
             " classes of one property for head size " + std::to_string(call.head_size) +
             " when weighing on a GPU, got " + std::to_string(property.classes));
    }
    to.properties[to.n_properties] = table_of(call, property, to.slots);
    ++to.n_properties;
    to.slots = static_cast<int>(slots);
  }
  if (!to.first_launch) {
    to.received = nullptr;
    to.entropy = nullptr;
    to.arc_index = nullptr;
  }
  to.mass_slots_shared = launch.weighted ? to.slots + 1 : 0;
  const int64_t arc_bytes = int64_t{8} * to.n_thresholds * to.slots;
  const int64_t room = kMaxSharedBytes - base - int64_t{8} * to.mass_slots_shared;
  const bool fits = arc_bytes <= std::min(room, kMaxArcCounterBytes);
  to.arc_slots_shared = call.arc_counts != nullptr && fits ? to.n_thresholds * to.slots : 0;
  launch.shared_bytes = base + int64_t{8} * (to.mass_slots_shared + to.arc_slots_shared);
  to.wants_columns = to.received != nullptr;
  for (int x = 0; x < to.n_properties && call.mass != nullptr; ++x) {
    const PropertyKind kind = to.properties[x].kind;
    if (kind == PropertyKind::kKeyClass || kind == PropertyKind::kKeyValue) to.wants_columns = 1;
  }
  return p;
}

// Adds the launch once for every part of the heads and sequences that a grid holds.
void add_grids(Launch launch, std::vector<Launch>& launches) {
  const TwoPassCall& call = launch.call;
  const bool packed = call.cu_seqlens != nullptr;
  const int64_t queries = block_size(launch).queries;
  launch.blocks[0] =
      packed ? call.tokens / queries + call.sequences : (call.length + queries - 1) / queries;
  if (launch.blocks[0] > kMaxGridX) {
    refuse("cu_seqlens: expected less than 2^31 blocks of queries, got " +
           std::to_string(launch.blocks[0]));
  }
  const int64_t rows = packed ? 1 : call.sequences;
  for (int64_t s = 0; s < rows; s += kMaxGridYZ) {
    for (int64_t h = 0; h < call.heads; h += kMaxGridYZ) {
      launches.push_back(launch);
      Launch& part = launches.back();
      part.call.first_sequence = s;
      part.call.first_head = h;
      part.blocks[1] = std::min(kMaxGridYZ, call.heads - h);
      part.blocks[2] = std::min(kMaxGridYZ, rows - s);
    }
  }
}

}  // namespace

std::vector<Launch> plan_launches(const AttentionCall& call, const CudaLaunch& launch) {
  std::vector<Launch> launches;
  if (call.dtype == DType::kFloat64) {
    refuse(
        "query: expected float32, bfloat16 or float16 on a GPU, got float64; convert it, or "
        "compute on the CPU");
  }
  expect_sizes(call);
  if (call.tokens == 0 || call.heads == 0 || call.sequences == 0) return launches;
  expect_pointers(call);
  if (call.value.data != nullptr || call.output.data != nullptr) {
    refuse("value, output: expected null, as the two-pass kernel computes no output, got data");
  }
  if (launch.lse == nullptr) {
    refuse(
        "lse: expected the log-sum-exp of the rows, as the vendor's attention returned it, "
        "got null");
  }
  Launch all = common_launch(call);
  all.call.lse = launch.lse;
  all.call.lse_batch_stride = launch.lse_batch_stride;
  all.call.lse_head_stride = launch.lse_head_stride;
  all.call.lse_token_stride = launch.lse_token_stride;
  int p = 0;
  do {
    Launch part = all;
    p = take_properties(call, p, part);
    add_grids(part, launches);
  } while (p < call.n_properties);
  return launches;
}

std::vector<Launch> plan_fused(const AttentionCall& call) {
  std::vector<Launch> launches;
  expect_sizes(call);
  const bool half = call.dtype == DType::kBFloat16 || call.dtype == DType::kFloat16;
  if (!half || call.head_size > kMaxFusedHeadSize) {
    refuse("query: expected bfloat16 or float16 and a head size of at most " +
           std::to_string(kMaxFusedHeadSize) + " for the fused kernel, got head size " +
           std::to_string(call.head_size));
  }
  if (call.mass != nullptr || call.received != nullptr || call.entropy != nullptr) {
    refuse("mass, received, entropy: expected null, as the fused kernel does not weigh, got data");
  }
  if (call.n_properties > kMaxPropertiesOfLaunch) {
    refuse("properties: expected at most " + std::to_string(kMaxPropertiesOfLaunch) +
           " for the fused kernel, got " + std::to_string(call.n_properties));
  }
  if (call.tokens == 0 || call.heads == 0 || call.sequences == 0) return launches;
  expect_pointers(call);
  if (call.value.data == nullptr || call.output.data == nullptr) {
    refuse("value, output: expected data, got null");
  }
  Launch all = common_launch(call);
  all.fused = true;
  FusedCall& to = all.call;
  const bool batched = call.cu_seqlens == nullptr;
  to.value = call.value;
  to.output = call.output;
  to.value_vectors = in_vectors(call.value, 2, batched);
  to.output_vectors = in_vectors(call.output, 2, batched);
  to.new_lse = static_cast<float*>(call.lse);
  if (call.arc_counts != nullptr || call.arc_index != nullptr) {
    const double least = *std::min_element(call.thresholds, call.thresholds + call.n_thresholds);
    to.list_capacity = candidate_capacity(least);
    if (to.list_capacity == 0) {
      refuse("thresholds: expected more than 1 / " + std::to_string(kMaxCandidates + 1) +
             " for the fused kernel, got " + std::to_string(least));
    }
  }
  take_properties(call, 0, all);
  add_grids(all, launches);
  return launches;
}

}  // namespace provis::cuda

provis::FusedLimits provis::fused_limits() {
  return {kMaxFusedHeadSize, kMaxCandidates, kMaxThresholds, kMaxPropertiesOfLaunch};
}
