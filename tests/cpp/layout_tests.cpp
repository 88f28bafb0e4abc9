// Batched tensors with every mask, bias, window and term of relative position, the log-sum-exp and
// the list of arcs, against a plain double loop: memory that packed calls do not reach. Part of the
// kernel_tests executable.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "provis/attention_statistics.h"

namespace {

using provis::AttentionCall;
using provis::DType;

constexpr int64_t kBatch = 3, kHeads = 2, kLength = 45, kReach = 60;
constexpr double kTheta = 0.2;

uint16_t half_of(float x) {  // of normal numbers; rounds towards zero
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int exponent = static_cast<int>((bits >> 23) & 0xff) - 127 + 15;
  const uint32_t sign = (bits >> 16) & 0x8000;
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 |
                               ((bits >> 13) & 0x3ff));
}

float float_of_half(uint16_t x) {
  const int exponent = (x >> 10) & 31;
  const float magnitude =
      exponent == 0 ? 0.0f : std::ldexp(static_cast<float>((x & 0x3ff) | 0x400), exponent - 25);
  return (x & 0x8000) != 0 ? -magnitude : magnitude;
}

uint16_t bf16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

float float_of_bf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Tensors [B, L, H, D] of one dtype, and what they are as double.
struct Tensor {
  std::vector<double> exact;
  std::vector<unsigned char> bytes;

  Tensor(DType dtype, int head_size, float scale, std::mt19937& random) {
    std::normal_distribution<float> normal;
    const size_t size = static_cast<size_t>(kBatch * kLength * kHeads * head_size);
    const size_t width = dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
    bytes.resize(size * width);
    for (size_t e = 0; e < size; ++e) {
      const float x = scale * normal(random);
      unsigned char* to = bytes.data() + e * width;
      if (dtype == DType::kFloat64) {
        exact.push_back(x);
        std::memcpy(to, &exact.back(), 8);
      } else if (dtype == DType::kFloat32) {
        exact.push_back(x);
        std::memcpy(to, &x, 4);
      } else {
        const bool brain = dtype == DType::kBFloat16;
        const uint16_t bits = brain ? bf16_of(x) : half_of(x);
        exact.push_back(brain ? float_of_bf16(bits) : float_of_half(bits));
        std::memcpy(to, &bits, 2);
      }
    }
  }
};

struct Arc {
  int32_t sequence, head, query, key;
  bool operator<(const Arc& o) const {
    return std::tie(sequence, head, query, key) < std::tie(o.sequence, o.head, o.query, o.key);
  }
  bool operator==(const Arc& o) const { return !(*this < o) && !(o < *this); }
};

// window: 0 for none; with_positions: terms of relative position as well.
int check_dtype(DType dtype, int head_size, int64_t window, bool with_positions,
                const std::string& name) {
  int failures = 0;
  const auto expect = [&](bool ok, const std::string& what) {
    if (ok) return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s: %s\n", name.c_str(), what.c_str());
  };
  std::mt19937 random(static_cast<unsigned>(head_size));
  const Tensor query(dtype, head_size, 6.0f, random), key(dtype, head_size, 1.0f, random),
      value(dtype, head_size, 1.0f, random), position_query(dtype, head_size, 2.0f, random),
      position_key(dtype, head_size, 1.0f, random);
  const size_t tokens = static_cast<size_t>(kBatch * kLength);
  std::vector<uint8_t> allowed(tokens), residues(tokens);
  std::vector<float> additive(tokens), bias(static_cast<size_t>(kHeads * (2 * kReach + 1)));
  std::normal_distribution<float> normal;
  for (size_t t = 0; t < tokens; ++t) {
    allowed[t] = t % kLength < 40 && random() % 12 != 0;
    residues[t] = random() % 12 != 0;
    additive[t] = normal(random);
  }
  for (size_t b = 0; b < bias.size(); ++b) {
    // The second head sees a window of 20 tokens ahead, and its last tokens nothing.
    const int64_t offset = static_cast<int64_t>(b % (2 * kReach + 1)) - kReach;
    const bool open = b < 2 * kReach + 1 || (offset > 0 && offset <= 20);
    bias[b] = open ? normal(random) : -std::numeric_limits<float>::infinity();
  }

  std::vector<unsigned char> output(query.bytes.size());
  const size_t rows = static_cast<size_t>(kBatch * kHeads * kLength);
  std::vector<float> lse(rows);
  std::vector<double> exact_lse(rows);
  std::vector<int64_t> counts(static_cast<size_t>(kBatch * kHeads));
  std::vector<int32_t> flags(static_cast<size_t>(kBatch));
  std::vector<int32_t> index(4 * 4096);
  std::vector<float> weight(4096);
  int64_t total = 0;
  const auto view = [&](const std::vector<unsigned char>& bytes) -> provis::TensorView {
    return {const_cast<unsigned char*>(bytes.data()), kLength * kHeads * head_size,
            kHeads * head_size, head_size};
  };
  AttentionCall call;
  call.dtype = dtype;
  call.sequences = kBatch;
  call.heads = kHeads;
  call.length = kLength;
  call.tokens = kBatch * kLength;
  call.head_size = head_size;
  call.scale = 1.0 / std::sqrt(static_cast<double>(head_size));
  call.query = view(query.bytes);
  call.key = view(key.bytes);
  call.value = view(value.bytes);
  call.output = view(output);
  call.lse = dtype == DType::kFloat64 ? static_cast<void*>(exact_lse.data()) : lse.data();
  call.allowed = allowed.data();
  call.residues = residues.data();
  call.additive = additive.data();
  call.relative_bias = bias.data();
  call.bias_length = 2 * kReach + 1;
  call.window = window;
  if (with_positions) {
    // As many rows as a batch has tokens, which is more than its longest sequence needs.
    call.position_query = view(position_query.bytes);
    call.position_key = {const_cast<unsigned char*>(position_key.bytes.data()), 0,
                         kHeads * head_size, head_size};
    call.position_length = kBatch * kLength;
  }
  call.thresholds = &kTheta;
  call.n_thresholds = 1;
  call.arc_counts = counts.data();
  call.arc_index = index.data();
  call.arc_weight = weight.data();
  call.arc_total = &total;
  call.arc_capacity = 4096;
  call.flags = flags.data();
  call.num_threads = 2;
  provis::attention_statistics_cpu(call);

  std::vector<Arc> arcs;
  bool sure = true;
  double worst_lse = 0;
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t i = 0; i < kLength; ++i) {
        const auto token = [&](int64_t t) { return static_cast<size_t>(b * kLength + t); };
        std::vector<double> score(static_cast<size_t>(kLength));
        double sum = 0;
        for (int64_t j = 0; j < kLength; ++j) {
          double dot = 0;
          for (int d = 0; d < head_size; ++d) {
            const auto at = [&](int64_t t) {
              return (token(t) * kHeads + static_cast<size_t>(h)) * static_cast<size_t>(head_size) +
                     static_cast<size_t>(d);
            };
            dot += query.exact[at(i)] * key.exact[at(j)];
            if (!with_positions) continue;
            const int64_t row = kBatch * kLength / 2 + j - i;
            const int64_t place = (row * kHeads + h) * head_size + d;
            dot += position_query.exact[at(i)] * position_key.exact[static_cast<size_t>(place)];
          }
          dot = dot * call.scale + additive[token(j)] +
                bias[static_cast<size_t>(h * (2 * kReach + 1) + j - i + kReach)];
          const bool near = window == 0 || std::abs(i - j) < window;
          score[static_cast<size_t>(j)] = allowed[token(j)] != 0 && near ? std::exp(dot) : 0;
          sum += score[static_cast<size_t>(j)];
        }
        const size_t row = static_cast<size_t>((b * kHeads + h) * kLength + i);
        const double found = dtype == DType::kFloat64 ? exact_lse[row] : lse[row];
        if (sum > 0) {
          worst_lse = std::max(worst_lse, std::abs(found - std::log(sum)));
        } else {
          expect(std::isinf(found) && found < 0, "LSE of a row without keys");
        }
        for (int64_t j = 0; j < kLength; ++j) {
          const auto counted = [&](int64_t t) { return allowed[token(t)] && residues[token(t)]; };
          if (!counted(i) || !counted(j) || sum == 0) continue;
          const double a = score[static_cast<size_t>(j)] / sum;
          sure = sure && std::abs(a - kTheta) > 1e-5;
          if (a >= kTheta) {
            arcs.push_back({static_cast<int32_t>(b), static_cast<int32_t>(h),
                            static_cast<int32_t>(i), static_cast<int32_t>(j)});
          }
        }
      }
    }
  }
  expect(worst_lse < 1e-4, "LSE is off by " + std::to_string(worst_lse));
  expect(sure, "a weight is too close to the threshold: take another seed");
  expect(arcs.size() > 100, "there are arcs");
  expect(total == static_cast<int64_t>(arcs.size()), "arcs altogether");
  std::vector<Arc> listed;
  for (int64_t a = 0; a < std::min<int64_t>(total, 4096); ++a) {
    const int32_t* entry = index.data() + 4 * a;
    listed.push_back({entry[0], entry[1], entry[2], entry[3]});
    expect(weight[static_cast<size_t>(a)] >= 0.99f * static_cast<float>(kTheta), "weight of arcs");
  }
  std::sort(listed.begin(), listed.end());
  expect(listed == arcs, "the list of arcs");

  // Without output, and with a list that is too short: nothing is written beyond its end.
  std::vector<int32_t> short_index(4 * 7);
  std::vector<float> short_weight(7);
  std::vector<int64_t> again(counts.size());
  total = 0;
  call.value.data = call.output.data = nullptr;
  call.lse = nullptr;
  call.arc_counts = again.data();
  call.arc_index = short_index.data();
  call.arc_weight = short_weight.data();
  call.arc_capacity = 7;
  provis::attention_statistics_cpu(call);
  expect(again == counts, "counts without output");
  expect(total == static_cast<int64_t>(arcs.size()), "arcs altogether, list too short");
  expect(std::any_of(flags.begin(), flags.end(),
                     [](int32_t flag) { return flag == provis::kArcOverflow; }),
         "a list that is too short is told");
  return failures;
}

}  // namespace

int check_layouts(const std::string& isa) {
  int failures = 0;
  for (int head_size : {3, 16, 40}) {
    for (int64_t window : {0, 7, 33}) {
      for (bool positions : {false, true}) {
        const std::string name = isa + " batched d=" + std::to_string(head_size) +
                                 " window=" + std::to_string(window) +
                                 (positions ? " positions" : "");
        const auto check = [&](DType dtype, const char* of) {
          failures += check_dtype(dtype, head_size, window, positions, name + of);
        };
        check(DType::kFloat32, " float32");
        check(DType::kFloat64, " float64");
        check(DType::kBFloat16, " bfloat16");
        check(DType::kFloat16, " float16");
      }
    }
  }
  return failures;
}
