// Parts of csrc/core by themselves, on one warp. Part of the core_tests executable.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "fake_gpu.h"

namespace {

int failures = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

void layout() {
  std::vector<int> seen(16 * 64);
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < provis::kLaneElements; ++e) {
      const int column = provis::column_of_element(lane, e);
      ++seen[static_cast<size_t>(provis::row_of_element(lane, e) * 64 + column)];
      const uint64_t mask = provis::lane_columns(uint64_t{1} << column, lane);
      for (int x = 0; x < provis::kLaneElements; ++x) {
        const bool same = provis::column_of_element(lane, x) == column;
        expect(provis::has_column(mask, x) == same, "the mask of a column");
      }
    }
  }
  for (int count : seen) expect(count == 1, "every pair of a tile is one lane's");
}

void sums_of_columns() {
  std::vector<float> sums(64);
  fake::run_block([&](const fake::Gpu& gpu) {
    float values[provis::kLaneElements];
    for (int e = 0; e < provis::kLaneElements; ++e) {
      values[e] = static_cast<float>(provis::row_of_element(gpu.lane(), e) +
                                     100 * provis::column_of_element(gpu.lane(), e));
    }
    float columns[16] = {}, two[2];
    provis::add_columns(values, columns);
    provis::column_sums(gpu, columns, two);
    if (gpu.warp() != 0) return;
    sums[static_cast<size_t>(2 * gpu.lane())] = two[0];
    sums[static_cast<size_t>(2 * gpu.lane() + 1)] = two[1];
  });
  for (int c = 0; c < 64; ++c) {
    expect(sums[static_cast<size_t>(c)] == static_cast<float>(120 + 1600 * c), "sums of columns");
  }
}

// Every block of packed sequences, empty ones among them, finds its own.
template <int kQueries>
void places() {
  std::vector<int32_t> offsets{0};
  for (int s = 0; s < 2500; ++s) offsets.push_back(offsets.back() + (s * s) % 197 * (s % 3));
  const int64_t sequences = static_cast<int64_t>(offsets.size()) - 1;
  const int64_t blocks = offsets.back() / kQueries + sequences;
  std::vector<int64_t> served(static_cast<size_t>(sequences));
  fake::run_block([&](const fake::Gpu& gpu) {
    for (int64_t b = gpu.warp(); b < blocks; b += provis::kBlockWarps) {
      provis::TwoPassCall call{};
      call.cu_seqlens = offsets.data();
      call.sequences = sequences;
      call.tokens = offsets.back();
      provis::Place place;
      if (!provis::find_place<kQueries>(gpu, call, {b, 0, 0}, place) || gpu.lane() != 0) continue;
      const int64_t queries = std::min(place.n - place.first, kQueries);
      __atomic_fetch_add(&served[static_cast<size_t>(place.sequence)], queries, __ATOMIC_RELAXED);
    }
  });
  for (int64_t s = 0; s < sequences; ++s) {
    const size_t at = static_cast<size_t>(s);
    expect(served[at] == offsets[at + 1] - offsets[at], "every query is one block's");
  }
}

void fixed_point() {
  uint32_t low = 0xfffffff0u, high = 5;
  const provis::Counters counters{&low, &high};
  int64_t total = counters.at(0);
  fake::run_block([&](const fake::Gpu& gpu) {
    counters.add(gpu, 0, gpu.thread());
    counters.add(gpu, 0, -(int64_t{1} << 40) * gpu.thread() + 7);
  });
  for (int64_t t = 0; t < 128; ++t) total += t - (int64_t{1} << 40) * t + 7;
  expect(counters.at(0) == total, "64-bit counters in two halves");
  expect(provis::weighted_value(int64_t{3} << 32, -(int64_t{5} << 16)) == -(int64_t{15} << 32),
         "values by weight");
  expect(provis::weighted_value(int64_t{64} << 32, int64_t{1} << 36) == int64_t{1} << 58,
         "the largest value by the largest weight");
  expect(provis::fixed_of_fine(provis::fine_of(1.0)) == int64_t{1} << 32, "one is one");
  expect(provis::fixed_of(-0.75) == -(int64_t{3} << 30), "fixed point of negative numbers");
  double off = 0;
  fake::Block block;
  const fake::Gpu gpu(block, 0);
  for (int x = 0; x < 80000; ++x) {
    const float log = -0.001f * static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(log));
    off = std::max(off, std::abs(static_cast<double>(provis::exp_of(gpu, log)) / exact - 1));
  }
  expect(off < 2.4e-7, "exp_of is off by " + std::to_string(off * 1e7) + "e-7");
  expect(provis::exp_of(gpu, -INFINITY) == 0 && provis::exp_of(gpu, 0.0f) == 1,
         "exp_of at its ends");
}

}  // namespace

int check_core_parts() {
  layout();
  sums_of_columns();
  places<64>();
  places<128>();
  fixed_point();
  return failures;
}
