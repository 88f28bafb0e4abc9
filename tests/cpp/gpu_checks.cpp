#include "gpu_checks.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace checks {
namespace {

int failures = 0;
int64_t arcs_seen = 0, unsure = 0;

}  // namespace

using cases::Case;
using cases::Results;
using cases::Shape;
using provis::DType;

void begin() { failures = 0, arcs_seen = 0, unsure = 0; }

void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

int end(const char* name, int64_t least_arcs) {
  expect(arcs_seen > least_arcs, std::string(name) + ": the cases have arcs");
  std::printf("%s: %lld arcs; %lld heads with weights at a threshold; %d failed\n", name,
              static_cast<long long>(arcs_seen), static_cast<long long>(unsure), failures);
  return failures;
}

Shape shape_of(DType dtype, int head_size, int pitch, std::vector<int> lengths) {
  Shape shape;
  shape.dtype = dtype;
  shape.head_size = head_size;
  shape.pitch = pitch;
  shape.lengths = std::move(lengths);
  return shape;
}

std::vector<NamedShape> common_shapes(const std::vector<int>& lengths) {
  std::vector<NamedShape> all;
  Shape half = shape_of(DType::kFloat16, 64, 64, lengths);
  all.push_back({"float16", half});
  half.masks = half.additive = half.relative = true;
  half.heads = 2;
  all.push_back({"float16 with biases", half});

  Shape batched = shape_of(DType::kBFloat16, 32, 32, {90, 90});
  batched.batched = true;
  batched.heads = 2;
  all.push_back({"batched", batched});
  batched.masks = batched.additive = batched.relative = true;
  all.push_back({"batched with biases", batched});

  for (int window : {1, 7, 64, 100, 1000}) {
    Shape local = shape_of(DType::kBFloat16, 16, 16, {300, 20, 1});
    local.window = window;
    local.masks = window > 10;
    all.push_back({"window of " + std::to_string(window), local});
  }
  return all;
}

provis::AttentionCall with_arcs(const Case& c, Results& r) {
  provis::AttentionCall call = c.call;
  call.arc_counts = r.counts.data();
  call.flags = r.flags.data();
  if (!r.arc_weight.empty()) {
    call.arc_index = r.arc_index.data();
    call.arc_weight = r.arc_weight.data();
    call.arc_total = &r.arc_total;
    call.arc_capacity = static_cast<int64_t>(r.arc_weight.size());
  }
  return call;
}

void check_counts(const Case& c, const Results& exact, const Results& found,
                  const std::string& name) {
  const size_t channels = static_cast<size_t>(c.channels()),
               heads = static_cast<size_t>(c.shape.heads);
  const size_t thetas = c.shape.thresholds.size();
  for (size_t row = 0; row < found.counts.size() / channels; ++row) {
    const size_t cell = row / heads / thetas * heads + row % heads;
    if (!exact.sure[cell]) {
      ++unsure;
      continue;
    }
    arcs_seen += found.counts[row * channels];
    for (size_t x = row * channels; x < (row + 1) * channels; ++x) {
      expect(found.counts[x] == exact.counts[x],
             name + ": count of channel " + std::to_string(x - row * channels) + " is " +
                 std::to_string(found.counts[x]) + ", not " + std::to_string(exact.counts[x]));
    }
  }
  for (int32_t flag : found.flags) expect(flag == 0, name + ": a flag without reason");
}

void check_list(const Results& exact, const Results& found, const std::string& name) {
  if (std::find(exact.sure.begin(), exact.sure.end(), false) != exact.sure.end()) return;
  std::vector<cases::Arc> listed;
  for (int64_t a = 0; a < found.arc_total; ++a) {
    const int32_t* entry = found.arc_index.data() + 4 * a;
    listed.push_back({entry[0], entry[1], entry[2], entry[3]});
  }
  std::sort(listed.begin(), listed.end());
  expect(listed == exact.arcs, name + ": the list of arcs");
}

}  // namespace checks
