// The kernels of every instruction set against a plain double loop, without Python: what the
// sanitizers run on. Exit status 0 and a line of counts when everything agrees.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "provis/attention_statistics.h"

namespace {

using provis::AttentionCall;
using provis::Property;
using provis::PropertyKind;

int failures = 0;
int64_t arcs_seen = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

uint16_t bf16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

// Inputs of one call: packed sequences with every kind of property.
struct Inputs {
  std::vector<int32_t> offsets{0};
  int64_t heads;
  int head_size;
  std::vector<float> query, key, value;
  std::vector<uint8_t> allowed, residues;
  std::vector<int16_t> labels, sides;
  std::vector<int64_t> values;
  std::vector<uint32_t> pairs;
  std::vector<int64_t> pair_offsets;
  std::vector<int32_t> bins{0, 1, 2, 6, 12};
  std::vector<double> thresholds{0.1, 0.3};
  std::vector<Property> properties;

  Inputs(const std::vector<int>& lengths, int64_t n_heads, int size, unsigned seed)
      : heads(n_heads), head_size(size) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int n : lengths) offsets.push_back(offsets.back() + n);
    const int64_t tokens = offsets.back();
    const auto fill = [&](std::vector<float>& x, float scale) {
      x.resize(static_cast<size_t>(tokens * heads * head_size));
      for (float& element : x) element = scale * normal(random);
    };
    fill(query, 14.0f / std::sqrt(static_cast<float>(size)));
    fill(key, 1.0f);
    fill(value, 1.0f);
    for (int64_t t = 0; t < tokens; ++t) {
      allowed.push_back(random() % 10 != 0);
      residues.push_back(random() % 10 != 0);
      labels.push_back(static_cast<int16_t>(static_cast<int>(random() % 7) - 1));
      sides.push_back(static_cast<int16_t>(static_cast<int>(random() % 5) - 1));
      values.push_back(random() % 8 == 0 ? provis::kUnknownValue
                                         : static_cast<int64_t>(random() % 200000) - 100000);
    }
    for (int n : lengths) {
      pair_offsets.push_back(static_cast<int64_t>(pairs.size()));
      const int words = (n + 31) / 32;
      for (int w = 0; w < 2 * n * words; ++w) pairs.push_back(random());
    }
    const auto add = [&](PropertyKind kind, int classes) -> Property& {
      properties.push_back({kind, classes});
      return properties.back();
    };
    add(PropertyKind::kKeyClass, 5).labels = labels.data();
    add(PropertyKind::kQueryClass, 5).labels = labels.data();
    add(PropertyKind::kClassPair, 9).labels = sides.data();
    add(PropertyKind::kKeyValue, 1).values = values.data();
    Property& pair = add(PropertyKind::kPair, 1);
    pair.pairs = pairs.data();
    pair.pair_words = static_cast<int64_t>(pairs.size());
    pair.pair_offsets = pair_offsets.data();
    add(PropertyKind::kSeparation, static_cast<int>(bins.size()));
  }

  int64_t tokens() const { return offsets.back(); }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

struct Results {
  std::vector<float> output;
  std::vector<uint16_t> half_output;
  std::vector<double> exact_output;
  std::vector<int64_t> counts, mass, received, entropy;
  std::vector<int32_t> flags;

  Results(const Inputs& in, const AttentionCall& call)
      : output(in.query.size()),
        half_output(in.query.size()),
        exact_output(in.query.size()),
        counts(static_cast<size_t>(in.sequences() * 2 * in.heads * call.channels())),
        mass(static_cast<size_t>(in.sequences() * in.heads * call.channels())),
        received(static_cast<size_t>(in.heads * in.tokens())),
        entropy(static_cast<size_t>(in.sequences() * in.heads)),
        flags(static_cast<size_t>(in.sequences())) {}
};

AttentionCall describe(Inputs& in) {
  AttentionCall call;
  call.sequences = in.sequences();
  call.heads = in.heads;
  call.tokens = in.tokens();
  call.head_size = in.head_size;
  call.cu_seqlens = in.offsets.data();
  call.allowed = in.allowed.data();
  call.residues = in.residues.data();
  call.scale = 1.0 / std::sqrt(static_cast<double>(in.head_size));
  call.properties = in.properties.data();
  call.n_properties = static_cast<int>(in.properties.size());
  call.bin_starts = in.bins.data();
  call.n_bins = static_cast<int>(in.bins.size());
  call.thresholds = in.thresholds.data();
  call.n_thresholds = static_cast<int>(in.thresholds.size());
  return call;
}

provis::TensorView view(void* data, const Inputs& in) {
  return {data, 0, in.heads * in.head_size, in.head_size};
}

void accumulate_into(AttentionCall& call, Results& r) {
  call.arc_counts = r.counts.data();
  call.mass = r.mass.data();
  call.received = r.received.data();
  call.entropy = r.entropy.data();
  call.flags = r.flags.data();
}

// Channels that a pair adds to, spelled out; amounts of key values in units of 2^-16.
template <class Add>
void channels_of(const Inputs& in, int64_t s, int64_t i, int64_t j, Add add) {
  const int64_t begin = in.offsets[static_cast<size_t>(s)];
  const int64_t n = in.offsets[static_cast<size_t>(s + 1)] - begin;
  const auto at = [&](const auto& table, int64_t t) {
    return table[static_cast<size_t>(begin + t)];
  };
  add(0, 1);
  const int of_key = at(in.labels, j), of_query = at(in.labels, i);
  if (of_key >= 0) add(1, 1);
  if (of_key >= 0 && of_key < 5) add(2 + of_key, 1);
  if (of_query >= 0) add(7, 1);
  if (of_query >= 0 && of_query < 5) add(8 + of_query, 1);
  const int row = at(in.sides, i), column = at(in.sides, j);
  if (row >= 0 && column >= 0) {
    add(13, 1);
    if (row < 3 && column < 3) add(14 + 3 * row + column, 1);
  }
  const int64_t value = at(in.values, j);
  if (value != provis::kUnknownValue) {
    add(23, 1);
    add(24, value);
  }
  const int64_t words = (n + 31) / 32;
  const uint32_t* set = in.pairs.data() + in.pair_offsets[static_cast<size_t>(s)];
  const auto bit = [&](const uint32_t* rows) { return rows[i * words + j / 32] >> (j % 32) & 1; };
  if (bit(set + n * words)) {
    add(25, 1);
    if (bit(set)) add(26, 1);
  }
  int bin = 0;
  for (size_t b = 0; b < in.bins.size(); ++b) {
    if (std::abs(i - j) >= in.bins[b]) bin = static_cast<int>(b);
  }
  add(27, 1);
  add(28 + bin, 1);
}

void check_against_loop(const Inputs& in, const AttentionCall& call, const Results& got,
                        const std::string& name) {
  const int channels = call.channels();
  for (int64_t s = 0; s < in.sequences(); ++s) {
    const int64_t begin = in.offsets[static_cast<size_t>(s)];
    const int64_t n = in.offsets[static_cast<size_t>(s + 1)] - begin;
    for (int64_t h = 0; h < in.heads; ++h) {
      std::vector<int64_t> counts(static_cast<size_t>(2 * channels));
      std::vector<double> mass(static_cast<size_t>(channels)), a(static_cast<size_t>(n));
      double entropy = 0, slack = 0;
      for (int64_t i = 0; i < n; ++i) {
        const auto row = [&](const std::vector<float>& x, int64_t t) {
          return x.data() + ((begin + t) * in.heads + h) * in.head_size;
        };
        double total = 0;
        for (int64_t j = 0; j < n; ++j) {
          double score = 0;
          for (int d = 0; d < in.head_size; ++d) {
            score += static_cast<double>(row(in.query, i)[d]) * row(in.key, j)[d];
          }
          const bool on = in.allowed[static_cast<size_t>(begin + j)];
          a[static_cast<size_t>(j)] = on ? std::exp(score * call.scale) : 0;
          total += a[static_cast<size_t>(j)];
        }
        const auto counted = [&](int64_t t) {
          const auto at = static_cast<size_t>(begin + t);
          return in.allowed[at] && in.residues[at];
        };
        for (int64_t j = 0; j < n && counted(i); ++j) {
          const double weight = total > 0 ? a[static_cast<size_t>(j)] / total : 0;
          if (weight > 0) entropy -= weight * std::log(weight);
          if (!counted(j)) continue;
          channels_of(in, s, i, j, [&](int c, int64_t amount) {
            const double unit = c == 24 ? 65536.0 : 1.0;
            mass[static_cast<size_t>(c)] += weight * static_cast<double>(amount) / unit;
            for (int t = 0; t < 2; ++t) {
              if (weight >= in.thresholds[static_cast<size_t>(t)]) {
                counts[static_cast<size_t>(t * channels + c)] += amount;
              }
            }
          });
          for (double theta : in.thresholds) slack += std::abs(weight - theta) < 1e-5 ? 1 : 0;
        }
      }
      const int64_t cell = s * in.heads + h;
      double worst = 0;
      for (int c = 0; c < channels; ++c) {
        for (int t = 0; t < 2 && slack == 0; ++t) {
          const int64_t* found = got.counts.data() + ((s * 2 + t) * in.heads + h) * channels;
          expect(found[c] == counts[static_cast<size_t>(t * channels + c)],
                 name + ": count of channel " + std::to_string(c));
          if (c == 0) arcs_seen += found[0];
        }
        const double found =
            static_cast<double>(got.mass[static_cast<size_t>(cell * channels + c)]) / 4294967296.0;
        worst = std::max(worst, std::abs(found - mass[static_cast<size_t>(c)]));
      }
      const double nats =
          static_cast<double>(got.entropy[static_cast<size_t>(cell)]) / 4294967296.0;
      const double tolerance = 2e-5 * static_cast<double>(n + 1);
      expect(worst <= tolerance, name + ": mass is off by " + std::to_string(worst));
      expect(std::abs(nats - entropy) <= tolerance, name + ": entropy is off");
    }
  }
}

void run_case(const std::vector<int>& lengths, int64_t heads, int head_size, unsigned seed,
              const std::string& isa) {
  Inputs in(lengths, heads, head_size, seed);
  AttentionCall call = describe(in);
  const std::string name = isa + " d=" + std::to_string(head_size);

  Results one(in, call), two(in, call);
  for (Results* r : {&one, &two}) {
    accumulate_into(call, *r);
    call.query = view(in.query.data(), in);
    call.key = view(in.key.data(), in);
    call.value = view(in.value.data(), in);
    call.output = view(r->output.data(), in);
    call.num_threads = r == &one ? 1 : 2;
    provis::attention_statistics_cpu(call);
  }
  check_against_loop(in, call, one, name + " float32");
  expect(one.counts == two.counts && one.mass == two.mass && one.received == two.received &&
             one.entropy == two.entropy && one.output == two.output,
         name + ": two threads differ from one");

  std::vector<double> wide[3];
  std::vector<uint16_t> narrow[3];
  const std::vector<float>* from[3] = {&in.query, &in.key, &in.value};
  for (int x = 0; x < 3; ++x) {
    wide[x].assign(from[x]->begin(), from[x]->end());
    for (float element : *from[x]) narrow[x].push_back(bf16_of(element));
  }
  Results exact(in, call);
  accumulate_into(call, exact);
  call.dtype = provis::DType::kFloat64;
  call.query = view(wide[0].data(), in);
  call.key = view(wide[1].data(), in);
  call.value = view(wide[2].data(), in);
  call.output = view(exact.exact_output.data(), in);
  provis::attention_statistics_cpu(call);
  check_against_loop(in, call, exact, name + " float64");
  double worst = 0;
  for (size_t x = 0; x < one.output.size(); ++x) {
    worst = std::max(worst, std::abs(static_cast<double>(one.output[x]) - exact.exact_output[x]));
  }
  expect(worst < 1e-4, name + ": float32 output is off by " + std::to_string(worst));

  Results half(in, call), half_two(in, call);
  call.dtype = provis::DType::kBFloat16;
  call.query = view(narrow[0].data(), in);
  call.key = view(narrow[1].data(), in);
  call.value = view(narrow[2].data(), in);
  for (Results* r : {&half, &half_two}) {
    accumulate_into(call, *r);
    call.output = view(r->half_output.data(), in);
    call.num_threads = r == &half ? 1 : 2;
    provis::attention_statistics_cpu(call);
  }
  expect(half.counts == half_two.counts && half.mass == half_two.mass &&
             half.entropy == half_two.entropy && half.half_output == half_two.half_output,
         name + ": two threads differ from one in bfloat16");
  for (int x = 0; x < 3; ++x) {
    for (size_t e = 0; e < narrow[x].size(); ++e) {
      const uint32_t bits = static_cast<uint32_t>(narrow[x][e]) << 16;
      std::memcpy(const_cast<float*>(from[x]->data()) + e, &bits, sizeof bits);
    }
  }
  check_against_loop(in, call, half, name + " bfloat16");
}

// Spoils a call that would do and expects that it is refused.
template <class Spoil>
void expect_refused(const std::string& what, Spoil spoil) {
  Inputs in({4, 5}, 1, 8, 0);
  AttentionCall call = describe(in);
  Results results(in, call);
  accumulate_into(call, results);
  call.query = call.key = call.value = view(in.query.data(), in);
  call.output = view(results.output.data(), in);
  provis::attention_statistics_cpu(call);
  spoil(in, call);
  bool refused = false;
  try {
    provis::attention_statistics_cpu(call);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  expect(refused, what + " is refused");
}

void refusals() {
  expect_refused("descending cu_seqlens", [](Inputs& in, AttentionCall&) { in.offsets[1] = 10; });
  expect_refused("a head size of 257", [](Inputs&, AttentionCall& c) { c.head_size = 257; });
  expect_refused("bins out of order", [](Inputs& in, AttentionCall&) { in.bins[2] = 1; });
  expect_refused("a bitmap beyond the end",
                 [](Inputs& in, AttentionCall&) { in.pair_offsets[1] += 1; });
  expect_refused("a value without output",
                 [](Inputs&, AttentionCall& c) { c.output.data = nullptr; });
  expect_refused("no query", [](Inputs&, AttentionCall& c) { c.query.data = nullptr; });
  expect_refused("a property without labels",
                 [](Inputs& in, AttentionCall&) { in.properties[2].labels = nullptr; });
  expect_refused("a negative window", [](Inputs&, AttentionCall& c) { c.window = -1; });
  expect_refused("position queries without keys",
                 [](Inputs&, AttentionCall& c) { c.position_query = c.query; });
  expect_refused("too few position keys", [](Inputs&, AttentionCall& c) {
    c.position_query = c.position_key = c.query;
    c.position_length = 8;  // of which the middle one is the fourth: enough for 4 tokens, not 5
  });
  expect_refused("arcs without thresholds", [](Inputs&, AttentionCall& c) { c.n_thresholds = 0; });
}

}  // namespace

int check_layouts(const std::string& isa);  // layout_tests.cpp

int main() {
  std::istringstream sets(provis::cpu_available());
  for (std::string isa; sets >> isa;) {
    setenv("PROVIS_FAST_CPU", isa.c_str(), 1);
    unsigned seed = 1;
    for (int head_size : {1, 5, 16, 20, 33, 64, 80, 256}) {
      run_case({1, 2, 31, 32, 33, 70}, 2, head_size, seed++, isa);
    }
    run_case({1100, 0, 13}, 1, 16, seed++, isa);
    run_case({600, 40}, 1, 256, seed, isa);  // keys and values of more than a megabyte: bands
    failures += check_layouts(isa);
  }
  refusals();
  expect(arcs_seen > 10000, "the cases have arcs");
  std::printf("kernel tests: %s; %lld arcs; %d failed\n", provis::cpu_available(),
              static_cast<long long>(arcs_seen), failures);
  return failures == 0 ? 0 : 1;
}
