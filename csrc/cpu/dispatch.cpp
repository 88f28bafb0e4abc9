#include "cpu/dispatch.h"

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/channels.h"

namespace provis {
namespace cpu {
namespace {

struct InstructionSet {
  const char* name;
  const KernelTable* f32;
  const KernelTable* bf16;  // null: bf16 is widened to f32
};

// Whether this process may use tile registers with bf16: the processor has them, and the kernel
// grants the eight kilobytes of state to those who ask.
bool amx_granted() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kBf16) == 0 || (d & kTile) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// What was built and what this processor has, best first.
std::vector<InstructionSet> find_available() {
  std::vector<InstructionSet> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && avx512_f32() != nullptr) {
    if (__builtin_cpu_supports("avx512bf16") && avx512_bf16() != nullptr) {
      if (amx_bf16() != nullptr && amx_granted()) {
        found.push_back({"amx_bf16", avx512_f32(), amx_bf16()});
      }
      found.push_back({"avx512_bf16", avx512_f32(), avx512_bf16()});
    }
    found.push_back({"avx512", avx512_f32(), nullptr});
  }
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (avx2 && avx2_f32() != nullptr) found.push_back({"avx2", avx2_f32(), nullptr});
#endif
  found.push_back({"portable", portable_f32(), nullptr});
  return found;
}

const std::vector<InstructionSet>& available() {
  static const std::vector<InstructionSet> sets = find_available();
  return sets;
}

// Read at every call, so that one process can compare instruction sets.
const InstructionSet& selected() {
  const char* wanted = std::getenv("PROVIS_FAST_CPU");
  if (wanted == nullptr || *wanted == '\0') return available().front();
  for (const InstructionSet& set : available()) {
    if (std::strcmp(set.name, wanted) == 0) return set;
  }
  throw std::invalid_argument(std::string("PROVIS_FAST_CPU: expected one of ") + cpu_available() +
                              ", got " + wanted);
}

void check_sequences(const AttentionCall& call) {
  if (call.cu_seqlens == nullptr) return;
  const int32_t* offsets = call.cu_seqlens;
  if (offsets[0] != 0 || offsets[call.sequences] != call.tokens) {
    throw std::invalid_argument("cu_seqlens: expected to run from 0 to the number of tokens (" +
                                std::to_string(call.tokens) + "), got " +
                                std::to_string(offsets[0]) + " to " +
                                std::to_string(offsets[call.sequences]));
  }
  for (int64_t s = 0; s < call.sequences; ++s) {
    if (offsets[s + 1] < offsets[s]) {
      throw std::invalid_argument("cu_seqlens: expected ascending offsets, got " +
                                  std::to_string(offsets[s + 1]) + " after " +
                                  std::to_string(offsets[s]));
    }
  }
}

int64_t sequence_length(const AttentionCall& call, int64_t s) {
  if (call.cu_seqlens == nullptr) return call.length;
  return int64_t{call.cu_seqlens[s + 1]} - call.cu_seqlens[s];
}

int64_t longest_sequence(const AttentionCall& call) {
  int64_t longest = 0;
  for (int64_t s = 0; s < call.sequences; ++s) {
    longest = std::max(longest, sequence_length(call, s));
  }
  return longest;
}

void check_property(const AttentionCall& call, const Property& property) {
  if (call.tokens > 0 && !has_table(property)) {
    throw std::invalid_argument(
        "properties: expected labels (classes), values (key values) or pairs and pair_offsets "
        "(pairs), got null");
  }
  if (property.kind == PropertyKind::kSeparation && property.classes != call.n_bins) {
    throw std::invalid_argument("bin_starts: expected one per class of separation (" +
                                std::to_string(property.classes) + "), got " +
                                std::to_string(call.n_bins));
  }
  if (property.kind != PropertyKind::kPair) return;
  for (int64_t s = 0; s < call.sequences; ++s) {
    const int64_t n = sequence_length(call, s);
    const int64_t begin = property.pair_offsets[s];
    const int64_t end = begin + 2 * n * ((n + 31) / 32);
    if (begin < 0 || end > property.pair_words) {
      throw std::invalid_argument(
          "properties.pair_offsets: expected bitmaps of sequence " + std::to_string(s) +
          " within the " + std::to_string(property.pair_words) +
          " words of properties.pairs, got " + std::to_string(begin) + ".." + std::to_string(end));
    }
  }
}

void check_positions(const AttentionCall& call, int64_t reach) {
  if (call.window < 0) {
    throw std::invalid_argument("window: expected 0 (none) or more, got " +
                                std::to_string(call.window));
  }
  if (call.tokens == 0 || call.heads == 0) return;  // empty tensors have no address
  if ((call.position_query.data == nullptr) != (call.position_key.data == nullptr)) {
    throw std::invalid_argument(
        "position_query, position_key: expected both or neither, got one of them");
  }
  if (call.position_query.data != nullptr && (call.position_length - 1) / 2 < reach) {
    throw std::invalid_argument(
        "position_key: expected [2 R + 1, H, D] with R >= " + std::to_string(reach) +
        ", got length " + std::to_string(call.position_length));
  }
}

void check(const AttentionCall& call) {
  if (call.tokens > 0 && call.heads > 0) {
    if (call.query.data == nullptr || call.key.data == nullptr) {
      throw std::invalid_argument("query, key: expected data, got null");
    }
    if ((call.value.data == nullptr) != (call.output.data == nullptr)) {
      throw std::invalid_argument("value, output: expected both or neither, got one of them");
    }
  }
  if ((call.arc_counts != nullptr || call.arc_index != nullptr) && call.n_thresholds < 1) {
    throw std::invalid_argument("thresholds: expected at least one for arcs, got none");
  }
  if (call.arc_index != nullptr && (call.arc_weight == nullptr || call.arc_total == nullptr)) {
    throw std::invalid_argument("arc_weight, arc_total: expected with arc_index, got null");
  }
  check_sequences(call);
  const int64_t reach = longest_sequence(call) - 1;
  if (call.relative_bias != nullptr && call.bias_length / 2 < reach) {
    throw std::invalid_argument(
        "relative_bias: expected [H, 2 R + 1] with R >= " + std::to_string(reach) +
        ", got length " + std::to_string(call.bias_length));
  }
  check_positions(call, reach);
  if (call.head_size < 1 || call.head_size > kMaxHeadSize) {
    throw std::invalid_argument("head_size: expected 1.." + std::to_string(kMaxHeadSize) +
                                ", got " + std::to_string(call.head_size));
  }
  if (call.n_bins > 255) {
    throw std::invalid_argument("bin_starts: expected at most 255 bins, got " +
                                std::to_string(call.n_bins));
  }
  for (int b = 0; b < call.n_bins; ++b) {
    if (b == 0 ? call.bin_starts[b] != 0 : call.bin_starts[b] <= call.bin_starts[b - 1]) {
      throw std::invalid_argument("bin_starts: expected ascending numbers from 0, got " +
                                  std::to_string(call.bin_starts[b]) + " as bin " +
                                  std::to_string(b));
    }
  }
  for (int p = 0; p < call.n_properties; ++p) check_property(call, call.properties[p]);
}

}  // namespace

const KernelTable& choose_kernel(DType dtype) {
  if (dtype == DType::kFloat64) return *portable_f64();
  const InstructionSet& set = selected();
  return dtype == DType::kBFloat16 && set.bf16 != nullptr ? *set.bf16 : *set.f32;
}

}  // namespace cpu

const char* cpu_available() {
  static const std::string names = [] {
    std::string joined;
    for (const cpu::InstructionSet& set : cpu::available()) {
      joined += (joined.empty() ? "" : " ") + std::string(set.name);
    }
    return joined;
  }();
  return names.c_str();
}

const char* cpu_selected() { return cpu::selected().name; }

void attention_statistics_cpu(const AttentionCall& call) {
  cpu::check(call);
  if (call.tokens == 0 || call.heads == 0) return;
  cpu::run_call(call, cpu::choose_kernel(call.dtype));
}

}  // namespace provis
