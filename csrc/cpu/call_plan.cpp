#include "cpu/call_plan.h"

#include <algorithm>

namespace provis::cpu {
namespace {

// Longer sequences are split by queries too, so that one (sequence, head) can use every thread.
// Each chunk packs the keys again: 1 / kChunk of its work. Multiple of every kernel's block.
constexpr int64_t kWhole = 1024;
constexpr int64_t kChunk = 528;

}  // namespace

CallPlan::CallPlan(const AttentionCall& call, const KernelTable& kernel)
    : call(call), kernel(kernel), channels(call.channels()) {
  counted.assign(static_cast<size_t>(call.tokens), 1);
  for (int64_t t = 0; t < call.tokens; ++t) {
    const bool allowed = call.allowed == nullptr || call.allowed[t] != 0;
    const bool residue = call.residues == nullptr || call.residues[t] != 0;
    counted[static_cast<size_t>(t)] = allowed && residue;
  }
  add_sequences();
  for (int b = 1; b < call.n_bins; ++b) {  // no further than two tokens can be apart
    const int64_t end = std::min<int64_t>(call.bin_starts[b], longest);
    bin_of.resize(static_cast<size_t>(end), static_cast<uint8_t>(b - 1));
  }
  for (int t = 0; t < call.n_thresholds; ++t) {
    least_threshold = std::min(least_threshold, call.thresholds[t]);
  }
  for (int p = 0; p < call.n_properties; ++p) {
    separation |= call.properties[p].kind == PropertyKind::kSeparation;
  }
}

void CallPlan::add_sequences() {
  for (int64_t s = 0; s < call.sequences; ++s) {
    Sequence q;
    q.begin = call.cu_seqlens != nullptr ? call.cu_seqlens[s] : s * call.length;
    q.n = call.cu_seqlens != nullptr ? call.cu_seqlens[s + 1] - q.begin : call.length;
    q.keys = q.n;
    while (call.allowed != nullptr && q.keys > 0 && call.allowed[q.begin + q.keys - 1] == 0) {
      --q.keys;
    }
    q.split = q.n > kWhole;
    sequences.push_back(q);
    longest = std::max(longest, q.n);
    const int64_t chunk = q.split ? kChunk : q.n;
    for (int64_t h = 0; h < call.heads; ++h) {
      for (int64_t i = 0; i < q.n; i += chunk) {
        tasks.push_back({static_cast<int32_t>(s), static_cast<int32_t>(h), static_cast<int32_t>(i),
                         static_cast<int32_t>(std::min(i + chunk, q.n))});
      }
    }
  }
  // What depends on j - i is packed once per head and thread where a head's tasks follow another.
  if (call.position_query.data != nullptr || call.relative_bias != nullptr) {
    std::stable_sort(tasks.begin(), tasks.end(),
                     [](const Task& a, const Task& b) { return a.head < b.head; });
  }
}

int64_t CallPlan::reach(int64_t n) const {
  const int64_t near = static_cast<int64_t>(bin_of.size());
  return std::max<int64_t>(0, std::min(near, n) - 1);
}

}  // namespace provis::cpu
