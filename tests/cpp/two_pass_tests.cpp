#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <utility>
#include <vector>

#include "gpu_checks.h"
#include "gpu_tests.h"

namespace {

using cases::Case;
using cases::Results;
using cases::Shape;
using checks::check_counts;
using checks::check_list;
using checks::expect;
using checks::shape_of;
using checks::with_arcs;
using provis::DType;
using provis::cuda::Launch;

Runner run;
provis::AttentionCall with_everything(const Case& c, Results& r, bool entropy = true) {
  provis::AttentionCall call = with_arcs(c, r);
  call.mass = r.mass.data();
  call.received = r.received.data();
  if (entropy) call.entropy = r.entropy.data();
  return call;
}

double worst(const std::vector<int64_t>& found, const std::vector<double>& exact) {
  double most = 0;
  for (size_t x = 0; x < exact.size(); ++x) {
    most = std::max(most, std::abs(static_cast<double>(found[x]) / 4294967296.0 - exact[x]));
  }
  return most;
}

// Arcs alone, then everything twice: the same counts, and the same bits.
void run_case(const Shape& shape, unsigned seed, const std::string& name) {
  const Case c(shape, seed);
  const Results exact = c.plain_loop();
  const int64_t room = static_cast<int64_t>(exact.arcs.size()) + 5;
  Results arcs = c.zeros(room), all = c.zeros(room), again = c.zeros(), no_entropy = c.zeros();
  run(c, with_arcs(c, arcs));
  check_counts(c, exact, arcs, name + " arcs");
  check_list(exact, arcs, name + " arcs");
  run(c, with_everything(c, all));
  run(c, with_everything(c, again));
  run(c, with_everything(c, no_entropy, false));
  check_counts(c, exact, all, name + " all");
  check_list(exact, all, name + " all");
  expect(all.counts == arcs.counts, name + ": counts differ when weighing");
  expect(all.counts == again.counts && all.mass == again.mass && all.received == again.received &&
             all.entropy == again.entropy,
         name + ": two runs differ");
  expect(no_entropy.mass == all.mass && no_entropy.received == all.received,
         name + ": mass differs without entropy");
  int longest = 1;
  for (int n : shape.lengths) longest = std::max(longest, n);
  const double off[3] = {worst(all.mass, exact.exact_mass),
                         worst(all.received, exact.exact_received),
                         worst(all.entropy, exact.exact_entropy)};
  const char* const what[3] = {"mass", "received", "entropy"};
  for (int x = 0; x < 3; ++x) {
    expect(off[x] <= 3e-6 * (longest + 1),
           name + ": " + what[x] + " is off by " + std::to_string(off[x]));
  }
}

void shapes() {
  const std::vector<int> few{1, 64, 0, 65, 17};
  unsigned seed = 1;
  for (int size : {1, 5, 16, 20, 32, 33, 64, 80, 96, 128, 144, 256}) {
    for (bool aligned : {true, false}) {
      Shape shape = shape_of(DType::kBFloat16, size, (size + 7) / 8 * 8 + (aligned ? 0 : 1), few);
      shape.masks = true;
      run_case(shape, seed++, "bfloat16 d=" + std::to_string(size) + (aligned ? "" : " unaligned"));
    }
  }
  for (int size : {3, 16, 36, 64, 256}) {
    for (bool aligned : {true, false}) {
      Shape shape = shape_of(DType::kFloat32, size, (size + 3) / 4 * 4 + (aligned ? 0 : 1), few);
      shape.masks = true;
      run_case(shape, seed++, "float32 d=" + std::to_string(size) + (aligned ? "" : " unaligned"));
    }
  }
  for (const auto& [name, shape] : checks::common_shapes(few)) {
    run_case(shape, seed++, name);
  }
  Shape longer = shape_of(DType::kBFloat16, 16, 16, {333});
  longer.thresholds = {0.01, 0.3, 1.0, 0.05};
  longer.masks = true;
  run_case(longer, seed++, "333 tokens");
  for (DType dtype :
       {DType::kFloat32, DType::kBFloat16}) {  // scores up to 50, as trained models have
    Shape sharp = shape_of(dtype, 64, 64, {150});
    sharp.sharpness = 12;
    run_case(sharp, seed++, "sharp");
  }
  longer.lengths = std::vector<int>(70, 3);
  run_case(longer, seed, "70 sequences");
}

// More thresholds and classes than a block counts in shared memory; properties by the dozen.
void many_counters() {
  Shape shape = shape_of(DType::kFloat32, 16, 16, {70});
  shape.thresholds.assign(64, 0.3);
  Case c(shape, 5);
  const Results exact = c.plain_loop();
  Results few = c.zeros();
  run(c, with_arcs(c, few));
  check_counts(c, exact, few, "64 thresholds");

  for (int p = 0; p < 70; ++p) c.properties.push_back(c.properties[static_cast<size_t>(p % 6)]);
  c.call.properties = c.properties.data();
  c.call.n_properties = static_cast<int>(c.properties.size());
  c.call.n_thresholds = 1;
  Results many = c.zeros();
  const provis::AttentionCall call = with_everything(c, many);
  expect(provis::cuda::plan_launches(call, c.launch).size() == 3, "76 properties: three launches");
  run(c, call);
  const size_t channels = static_cast<size_t>(c.channels());
  for (size_t p = 1; p + 32 < channels; ++p) {  // 32 channels on, the same properties again
    expect(many.counts[p] == many.counts[p + 32], "counts of a later launch");
    expect(many.mass[p] == many.mass[p + 32], "mass of a later launch");
  }
  for (size_t p = 0; p < 33; ++p) expect(many.counts[p] == exact.counts[p], "counts of the first");
  expect(worst(many.entropy, exact.exact_entropy) < 1e-4, "entropy is added once");
}

void not_finite() {
  Shape shape = shape_of(DType::kBFloat16, 16, 16, {40, 70, 30});
  Case c(shape, 9);
  Results clean = c.zeros(), spoilt = c.zeros();
  run(c, with_everything(c, clean));
  // As the vendor's attention has it: what is NaN in the query is NaN in its log-sum-exp.
  c.poison(c.query, 50, 0, NAN);
  c.lse[50] = NAN;
  run(c, with_everything(c, spoilt));
  expect(spoilt.flags == std::vector<int32_t>{0, provis::kNotFinite, 0}, "NaN is flagged");
  const size_t channels = static_cast<size_t>(c.channels());
  for (size_t x = 0; x < clean.mass.size(); ++x) {
    expect(x / channels == 1 || clean.mass[x] == spoilt.mass[x], "NaN leaks to another sequence");
  }
  // A NaN score alone is flagged too, and +inf in the log-sum-exp; -inf is a row without keys.
  Case d(shape, 9);
  d.poison(d.key, 3, 0, NAN);
  d.lse[100] = INFINITY;
  Results flagged = d.zeros();
  run(d, with_arcs(d, flagged));
  expect(flagged.flags == std::vector<int32_t>{provis::kNotFinite, provis::kNotFinite, 0},
         "a NaN score and an infinite log-sum-exp are flagged");
  Case e(shape, 9);
  e.lse[100] = -INFINITY;
  Results none = e.zeros();
  run(e, with_everything(e, none));
  expect(none.flags == std::vector<int32_t>(3, 0), "a row without keys is no error");
  expect(std::abs(static_cast<double>(none.mass[channels]) / 4294967296.0 - 69.0) < 1e-4,
         "a row without keys weighs nothing");
}

void short_list() {
  const Case c(shape_of(DType::kBFloat16, 16, 16, {100}), 4);
  Results r = c.zeros(7);
  run(c, with_arcs(c, r));
  expect(r.flags[0] == provis::kArcOverflow, "a list that is too short is flagged");
  expect(r.arc_total == static_cast<int64_t>(c.plain_loop().arcs.size()), "all arcs are counted");
}

// Spoils a call that would do and expects that it is refused, or flagged on the device.
template <class Spoil>
void expect_refused(const std::string& what, Spoil spoil) {
  Case c(shape_of(DType::kBFloat16, 16, 16, {4, 5}), 1);
  Results r = c.zeros();
  provis::AttentionCall call = with_everything(c, r);
  spoil(c, call);
  bool refused = false;
  try {
    provis::cuda::plan_launches(call, c.launch);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  expect(refused, what + " is refused");
}

void refusals() {
  using provis::AttentionCall;
  expect_refused("float64", [](Case&, AttentionCall& a) { a.dtype = DType::kFloat64; });
  expect_refused("a head size of 257", [](Case&, AttentionCall& a) { a.head_size = 257; });
  expect_refused("an output", [](Case&, AttentionCall& a) { a.output = a.value = a.query; });
  expect_refused("no log-sum-exp", [](Case& c, AttentionCall&) { c.launch.lse = nullptr; });
  expect_refused("no query", [](Case&, AttentionCall& a) { a.query.data = nullptr; });
  expect_refused("bins out of order", [](Case& c, AttentionCall&) { c.bins[2] = 1; });
  expect_refused("a negative window", [](Case&, AttentionCall& a) { a.window = -1; });
  expect_refused("terms of relative position",
                 [](Case&, AttentionCall& a) { a.position_query = a.position_key = a.query; });
  expect_refused("a scale of 0", [](Case&, AttentionCall& a) { a.scale = 0; });
  expect_refused("65 thresholds", [](Case&, AttentionCall& a) { a.n_thresholds = 65; });
  expect_refused("arcs without thresholds", [](Case&, AttentionCall& a) { a.n_thresholds = 0; });
  expect_refused("a property without labels",
                 [](Case& c, AttentionCall&) { c.properties[2].labels = nullptr; });
  expect_refused("more classes than counters",
                 [](Case& c, AttentionCall&) { c.properties[0].classes = 30000; });

  Case c(shape_of(DType::kBFloat16, 16, 16, {4, 5}), 1);
  c.pair_offsets[1] += 1;
  Results r = c.zeros();
  run(c, with_everything(c, r));
  expect(r.flags == std::vector<int32_t>{0, provis::kNotFinite},
         "a bitmap beyond the end is flagged");
}

// Grids hold 65,535 heads and batched sequences.
void grids() {
  Case c(shape_of(DType::kBFloat16, 16, 16, {4}), 1);
  Results r = c.zeros();
  provis::AttentionCall call = with_arcs(c, r);
  call.heads = 140000;
  const std::vector<Launch> launches = provis::cuda::plan_launches(call, c.launch);
  expect(launches.size() == 3 && launches[1].call.first_head == 65535 &&
             launches[2].blocks[1] == 140000 - 2 * 65535,
         "heads are folded");
}

}  // namespace

int check_two_pass(Runner runner) {
  run = runner;
  checks::begin();
  shapes();
  many_counters();
  not_finite();
  short_list();
  refusals();
  grids();
  return checks::end("two-pass kernel", 10000);
}
