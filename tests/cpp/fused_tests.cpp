// The fused kernel: outputs and log-sum-exp against attention in float64, arcs against plain loops.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "gpu_checks.h"
#include "gpu_tests.h"

namespace {

using cases::Case;
using cases::Results;
using cases::Shape;
using checks::expect;
using checks::shape_of;
using provis::DType;

Runner run;

// What a call of the fused kernel writes, full of NaN before.
struct Written {
  std::vector<unsigned char> output;
  std::vector<float> lse;

  explicit Written(const Case& c) : output(c.query.size(), 0xff), lse(c.lse.size(), NAN) {}

  provis::AttentionCall of(const Case& c, provis::AttentionCall call) {
    call.value = c.call.query;
    call.value.data = const_cast<unsigned char*>(c.value.data());
    call.output = c.call.query;
    call.output.data = output.data();
    call.lse = lse.data();
    return call;
  }
};

// FlashAttention's rule: the error of the output is at most twice that of plain code which rounds
// the weights and the output. Between rows, nothing is written.
void check_output(const Case& c, const Written& found, const std::string& name) {
  std::vector<double> exact, plain, lse, ignored;
  c.attend(false, exact, lse);
  c.attend(true, plain, ignored);
  const size_t size = static_cast<size_t>(c.shape.head_size),
               pitch = static_cast<size_t>(c.shape.pitch);
  double ours = 0, of_plain = 0;
  for (int64_t s = 0; s < c.sequences(); ++s) {
    for (int64_t h = 0; h < c.shape.heads; ++h) {
      for (int64_t i = 0; i < c.shape.lengths[static_cast<size_t>(s)]; ++i) {
        const int64_t token = c.offsets[static_cast<size_t>(s)] + i;
        const size_t row = static_cast<size_t>(token * c.shape.heads + h);
        for (size_t d = size; d < pitch; ++d) {
          const double beyond = c.element(found.output, row * pitch + d);
          expect(beyond != beyond, name + ": written behind the head");
        }
        if (c.allowed[static_cast<size_t>(token)] == 0) continue;
        const double off =
            static_cast<double>(found.lse[c.lse_at(s, h, i)]) - lse[c.lse_at(s, h, i)];
        const bool both_empty =
            lse[c.lse_at(s, h, i)] == -INFINITY && found.lse[c.lse_at(s, h, i)] == -INFINITY;
        expect(both_empty || std::abs(off) <= 2e-6 * (1 + std::abs(lse[c.lse_at(s, h, i)])),
               name + ": log-sum-exp is off by " + std::to_string(off));
        for (size_t d = 0; d < size; ++d) {
          const double x = c.element(found.output, row * pitch + d);
          const double off_here = std::abs(x - exact[row * size + d]);
          ours = ours != ours || off_here <= ours ? ours : off_here;  // NaN stays
          of_plain = std::max(of_plain, std::abs(plain[row * size + d] - exact[row * size + d]));
        }
      }
    }
  }
  expect(ours <= 2 * of_plain + 1e-6, name + ": output is off by " + std::to_string(ours) +
                                          ", plain code by " + std::to_string(of_plain));
}

void run_case(const Case& c, const std::string& name) {
  const Results exact = c.plain_loop();
  Results found = c.zeros(static_cast<int64_t>(exact.arcs.size()) + 5), none = c.zeros();
  Written written(c), again(c), alone(c);
  run(c, written.of(c, checks::with_arcs(c, found)));
  checks::check_counts(c, exact, found, name);
  checks::check_list(exact, found, name);
  check_output(c, written, name);
  run(c, again.of(c, checks::with_arcs(c, none)));
  expect(found.counts == none.counts, name + ": two runs count differently");
  // Attention alone, without arcs, is the same.
  provis::AttentionCall plain = c.call;
  plain.flags = none.flags.data();
  run(c, alone.of(c, plain));
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  expect(written.output == again.output && same(written.lse, again.lse),
         name + ": two runs differ");
  expect(written.output == alone.output && same(written.lse, alone.lse),
         name + ": arcs change the output");
}

void run_shape(const Shape& shape, unsigned seed, const std::string& name) {
  const Case c(shape, seed);
  run_case(c, name);
}

void shapes() {
  const std::vector<int> few{1, 64, 0, 65, 17, 129};
  unsigned seed = 100;
  for (int size : {1, 5, 16, 20, 32, 33, 64, 80, 96, 128}) {
    for (bool aligned : {true, false}) {
      Shape shape = shape_of(DType::kBFloat16, size, (size + 7) / 8 * 8 + (aligned ? 0 : 1), few);
      shape.masks = true;
      run_shape(shape, seed++,
                "fused bfloat16 d=" + std::to_string(size) + (aligned ? "" : " unaligned"));
    }
  }
  for (const auto& [name, shape] : checks::common_shapes(few)) {
    run_shape(shape, seed++, "fused " + name);
  }
  Shape longer = shape_of(DType::kBFloat16, 16, 16, {333});
  longer.thresholds = {0.0625, 0.3, 1.0, 0.1};
  longer.masks = true;
  run_shape(longer, seed++, "fused 333 tokens");
  Shape sharp = shape_of(DType::kBFloat16, 64, 64, {150});
  sharp.sharpness = 12;  // scores up to 50, as trained models have
  run_shape(sharp, seed++, "fused sharp");
  Shape flat = shape_of(DType::kBFloat16, 32, 32, {2, 3, 10, 16, 70});
  flat.sharpness = 0;  // all keys equal; 1 / 10 within rounding, which may go either way
  run_shape(flat, seed, "fused flat");
}

// Every key outweighs all before it by so much that the lists are as full as they can be, or the
// other way round: candidates that come go, or never come.
void ramps() {
  for (double theta : {0.1, 0.3, 1.0 / 16}) {
    for (double slope : {1.0, -1.0, 0.5, 3.0}) {
      Shape shape = shape_of(DType::kBFloat16, 16, 16, {200});
      shape.sharpness = 0.01;
      shape.relative = true;
      shape.thresholds = {theta};
      Case c(shape, 7);
      const int64_t half = c.call.bias_length / 2;
      for (int64_t b = 0; b < c.call.bias_length; ++b) {
        const double step = -std::log1p(-theta) * slope;
        c.relative[static_cast<size_t>(b)] =
            static_cast<float>(step * static_cast<double>(b - half));
      }
      run_case(c, "fused ramp " + std::to_string(slope) + " at " + std::to_string(theta));
    }
  }
}

void not_finite() {
  const Shape shape = shape_of(DType::kBFloat16, 16, 16, {40, 70, 30});
  const auto flags_of = [](const Case& c) {
    Results r = c.zeros();
    Written written(c);
    run(c, written.of(c, checks::with_arcs(c, r)));
    return r.flags;
  };
  Case query(shape, 9), key(shape, 9), infinite(shape, 9);
  query.poison(query.query, 50, 0, NAN);
  expect(flags_of(query) == std::vector<int32_t>{0, provis::kNotFinite, 0},
         "a NaN query is flagged");
  key.poison(key.key, 139, 0, NAN);
  expect(flags_of(key) == std::vector<int32_t>{0, 0, provis::kNotFinite}, "a NaN key is flagged");
  infinite.poison(infinite.key, 3, 0, INFINITY);
  expect(flags_of(infinite) == std::vector<int32_t>{provis::kNotFinite, 0, 0},
         "an infinite key is flagged");

  Case clean(shape, 9), spoilt(shape, 9);
  spoilt.poison(spoilt.value, 50, 0, NAN);  // no statistic sees it, and no other sequence
  Results counts = clean.zeros(), spoilt_counts = spoilt.zeros();
  Written good(clean), bad(spoilt);
  run(clean, good.of(clean, checks::with_arcs(clean, counts)));
  run(spoilt, bad.of(spoilt, checks::with_arcs(spoilt, spoilt_counts)));
  expect(counts.counts == spoilt_counts.counts, "a NaN value changes arcs");
  const size_t row = 16 * 2, first = 40 * row, second = 110 * row;
  for (size_t x = 0; x < good.output.size(); ++x) {
    if (x >= first && x < second) continue;
    expect(good.output[x] == bad.output[x], "a NaN value leaks to another sequence");
  }

  // What may not be attended can hold anything, infinity included.
  Shape masked = shape_of(DType::kBFloat16, 16, 16, {40, 70, 30});
  masked.masks = true;
  Case padded(masked, 9), filled(masked, 9);
  for (int64_t t = 0; t < filled.tokens(); ++t) {
    if (filled.allowed[static_cast<size_t>(t)] != 0) continue;
    for (auto* tensor : {&filled.query, &filled.key, &filled.value}) {
      filled.poison(*tensor, t, 0, INFINITY);
    }
  }
  Results of_padded = padded.zeros(), of_filled = filled.zeros();
  Written pads(padded), fillings(filled);
  run(padded, pads.of(padded, checks::with_arcs(padded, of_padded)));
  run(filled, fillings.of(filled, checks::with_arcs(filled, of_filled)));
  expect(of_filled.flags == std::vector<int32_t>(3, 0), "infinity in padding is flagged");
  expect(of_filled.counts == of_padded.counts, "infinity in padding changes arcs");
}

// A packed sequence that is longer than the bias reaches: told by NaN too, as there may be no
// flags.
void short_bias() {
  Shape shape = shape_of(DType::kBFloat16, 16, 16, {5, 40, 5});
  shape.relative = true;
  const Case c(shape, 2);
  provis::AttentionCall call = c.call;
  call.bias_length = 2 * 20 + 1;
  Results r = c.zeros();
  call.flags = r.flags.data();
  Written written(c);
  run(c, written.of(c, call));
  expect(r.flags == std::vector<int32_t>{0, provis::kNotFinite, 0}, "a short bias is flagged");
  for (int64_t i = 0; i < 50; ++i) {
    const bool nan = i >= 5 && i < 45;
    const float lse = written.lse[static_cast<size_t>(i)];
    expect(nan == (lse != lse), "a short bias: the log-sum-exp");
    for (size_t d = 0; d < 16; ++d) {
      const double x = c.element(written.output, static_cast<size_t>(i) * 16 + d);
      expect(nan == (x != x), "a short bias: the output");
    }
  }
}

void short_list() {
  const Case c(shape_of(DType::kBFloat16, 16, 16, {100}), 4);
  Results r = c.zeros(7);
  Written written(c);
  run(c, written.of(c, checks::with_arcs(c, r)));
  expect(r.flags[0] == provis::kArcOverflow, "fused: a list that is too short is flagged");
  expect(r.arc_total == static_cast<int64_t>(c.plain_loop().arcs.size()),
         "fused: all arcs are counted");
}

template <class Spoil>
void expect_refused(const std::string& what, Spoil spoil) {
  Case c(shape_of(DType::kBFloat16, 16, 16, {4, 5}), 1);
  Results r = c.zeros();
  Written written(c);
  provis::AttentionCall call = written.of(c, checks::with_arcs(c, r));
  spoil(c, call, r);
  bool refused = false;
  try {
    provis::cuda::plan_fused(call);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  expect(refused, what + " is refused by the fused kernel");
}

void refusals() {
  using provis::AttentionCall;
  expect_refused("float32", [](Case&, AttentionCall& a, Results&) { a.dtype = DType::kFloat32; });
  expect_refused("a head size of 129",
                 [](Case&, AttentionCall& a, Results&) { a.head_size = 129; });
  expect_refused("no output", [](Case&, AttentionCall& a, Results&) { a.output.data = nullptr; });
  expect_refused("no value", [](Case&, AttentionCall& a, Results&) { a.value.data = nullptr; });
  expect_refused("weighing", [](Case&, AttentionCall& a, Results& r) { a.mass = r.mass.data(); });
  expect_refused("entropy",
                 [](Case&, AttentionCall& a, Results& r) { a.entropy = r.entropy.data(); });
  expect_refused("a threshold of 0.05", [](Case&, AttentionCall& a, Results&) {
    static const double low[] = {0.3, 0.05};
    a.thresholds = low;
  });
}

}  // namespace

int check_fused(Runner runner) {
  run = runner;
  checks::begin();
  shapes();
  ramps();
  not_finite();
  short_bias();
  short_list();
  refusals();
  return checks::end("fused kernel", 5000);
}
