// Candidate lists of rows whose normaliser grows key by key: random and adversarial rows, walked 64
// keys at a time with an online softmax in float32. Part of the core_tests executable.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/candidates.h"
#include "fake_gpu.h"

namespace {

int failures = 0;
int64_t arcs_seen = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: candidates: %s\n", what.c_str());
}

constexpr int kRows = provis::kBlockWarps * provis::kWarpRows;

using Scores = std::vector<std::vector<float>>;  // [rows, keys]

// Float32 all along, as a kernel would: maximum and sum so far.
struct Online {
  float most = -INFINITY, sum = 0;
  void add(float score) {
    if (score == -INFINITY) return;
    const float next = std::max(most, score);
    sum = sum * std::exp(most - next) + std::exp(score - next);
    most = next;
  }
  float lse() const { return sum > 0 ? most + std::log(sum) : -INFINITY; }
};

void check(const Scores& scores, double theta, const std::string& name) {
  const int n = static_cast<int>(scores[0].size());
  const int capacity = provis::candidate_capacity(theta);
  const float log_theta = static_cast<float>(std::log(theta));
  std::vector<provis::Candidate> entries(static_cast<size_t>(kRows * capacity));
  std::vector<int> sizes(kRows, 0);
  std::vector<std::vector<int>> found[4];  // by lane of the row
  for (auto& of_lane : found) of_lane.resize(kRows);
  std::atomic<bool> fits{true};
  fake::run_block([&](const fake::Gpu& gpu) {
    Online online[2];
    for (int first = 0; first < n; first += provis::kTileKeys) {
      float tile[provis::kLaneElements];
      const int rows_of_warp = provis::kWarpRows * gpu.warp();
      for (int e = 0; e < provis::kLaneElements; ++e) {
        const auto& row =
            scores[static_cast<size_t>(rows_of_warp + provis::row_of_element(gpu.lane(), e))];
        const int j = first + provis::column_of_element(gpu.lane(), e);
        tile[e] = j < n ? row[static_cast<size_t>(j)] : -INFINITY;
      }
      for (int r = 0; r < 2; ++r) {
        const int row = rows_of_warp + (gpu.lane() >> 2) + 8 * r;
        for (int j = first; j < std::min(n, first + provis::kTileKeys); ++j) {
          online[r].add(scores[static_cast<size_t>(row)][static_cast<size_t>(j)]);
        }
        const provis::CandidateList list{entries.data() + row * capacity,
                                         &sizes[static_cast<size_t>(row)], capacity};
        const bool ok = provis::add_candidates(gpu, list, tile, r, ~uint64_t{0}, first, 1.0f,
                                               provis::candidate_floor(online[r].lse(), log_theta));
        if (!ok) fits = false;
      }
    }
    for (int r = 0; r < 2; ++r) {
      const int row = provis::kWarpRows * gpu.warp() + (gpu.lane() >> 2) + 8 * r;
      const provis::CandidateList list{entries.data() + row * capacity,
                                       &sizes[static_cast<size_t>(row)], capacity};
      provis::final_candidates(gpu, list, 1.0f, -online[r].lse(), log_theta, [&](int key, float) {
        found[gpu.lane() & 3][static_cast<size_t>(row)].push_back(key);
      });
    }
  });
  expect(fits, name + ": the list has room");
  for (size_t r = 0; r < kRows; ++r) {
    double total = 0;
    for (float score : scores[r]) total += std::exp(static_cast<double>(score));
    std::set<int> keys;
    for (const auto& of_lane : found) {
      for (int key : of_lane[r]) expect(keys.insert(key).second, name + ": a key twice");
    }
    arcs_seen += static_cast<int64_t>(keys.size());
    for (int j = 0; j < n; ++j) {
      const double score = static_cast<double>(scores[r][static_cast<size_t>(j)]);
      const double a = total > 0 ? std::exp(score) / total : 0;
      const bool close = std::abs(a - theta) <= 1e-5;
      expect(close || (a >= theta) == (keys.count(j) == 1),
             name + ": key " + std::to_string(j) + " with weight " + std::to_string(a));
    }
  }
}

Scores rows_of(int n, const std::function<float(int, int)>& score) {
  Scores scores(kRows, std::vector<float>(static_cast<size_t>(n)));
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < n; ++j)
      scores[static_cast<size_t>(r)][static_cast<size_t>(j)] = score(r, j);
  }
  return scores;
}

}  // namespace

int check_candidates() {
  const double thetas[] = {0.1, 0.3, 0.5, 1.0, 1.0 / 3, 1.0 / 16};
  const int rooms[] = {10, 3, 2, 1, 3, 16};
  for (size_t t = 0; t < std::size(thetas); ++t) {
    expect(provis::candidate_capacity(thetas[t]) == rooms[t], "room of a threshold");
  }
  expect(provis::candidate_capacity(1.0 / 17) == 0, "more than a list holds");

  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (double theta : thetas) {
    const std::string at = " at " + std::to_string(theta);
    const float step = static_cast<float>(-std::log1p(-std::min(theta, 0.9)));
    check(rows_of(300,
                  [&](int r, int) { return 0.3f * static_cast<float>(r % 16) * normal(random); }),
          theta, "random" + at);
    check(rows_of(1, [](int r, int) { return static_cast<float>(r) - 30; }), theta, "one key" + at);
    for (int n : {2, 3, 10, 16, 64, 130}) {  // the threshold is hit exactly, or just not
      check(rows_of(n, [](int r, int) { return static_cast<float>(r) - 9; }), theta,
            std::to_string(n) + " equal keys" + at);
    }
    // Every key outweighs all before it, and each is a candidate until those that follow: the list
    // is as full as it can be. Then the other way round, and two of each.
    for (float factor : {1.0f, 0.999f, 1.001f, 0.5f, 3.0f}) {
      const auto ascending = [&](int, int j) { return factor * step * static_cast<float>(j); };
      check(rows_of(150, ascending), theta, "ascending" + at);
      check(rows_of(150, [&](int r, int j) { return ascending(r, 149 - j); }), theta,
            "descending" + at);
      check(rows_of(150, [&](int r, int j) { return ascending(r, j / 2 * 2); }), theta,
            "ties" + at);
    }
    check(rows_of(140,
                  [&](int r, int j) {
                    if (r % 3 == 0 || j < r) return -INFINITY;
                    return j % 5 == 0 ? -INFINITY : 2 * normal(random);
                  }),
          theta, "rows of -inf" + at);
  }
  expect(arcs_seen > 1000, "the rows have arcs");
  return failures;
}
