// Contact maps against a plain double loop over all pairs.
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "properties/contacts.h"

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int failures = 0;

void expect(bool holds, const char* what, int64_t length, int64_t separation) {
  if (holds) return;
  ++failures;
  std::printf("FAILED: %s (%lld residues, separation %lld)\n", what, static_cast<long long>(length),
              static_cast<long long>(separation));
}

struct Case {
  std::vector<float> positions;
  double cutoff = 8;
  int64_t separation = 6;
  int64_t kept = 0;
  std::vector<int64_t> tokens;
  int64_t n_tokens = 0;
  bool all_valid = false;

  int64_t length() const { return static_cast<int64_t>(positions.size() / 3); }
};

bool resolved(const Case& c, int64_t i) {
  return std::isfinite(c.positions[3 * i]) && std::isfinite(c.positions[3 * i + 1]) &&
         std::isfinite(c.positions[3 * i + 2]);
}

void check(const Case& c, bool force_grid) {
  const int64_t words = c.n_tokens * ((c.n_tokens + 31) / 32);
  std::vector<uint32_t> set(words, 0), valid(words, 0), wanted_set(words, 0);
  std::vector<uint32_t> wanted_valid(words, 0);
  provis::ContactMap map;
  map.positions = c.positions.data();
  map.length = c.length();
  map.cutoff = c.cutoff;
  map.separation = c.separation;
  map.kept = c.kept;
  map.tokens = c.tokens.data();
  map.n_tokens = c.n_tokens;
  map.all_valid = c.all_valid;
  map.set = set.data();
  map.valid = valid.data();
  const provis::PairCounts counts = provis::contact_map(map, force_grid);

  provis::PairCounts wanted;
  const auto mark = [&](std::vector<uint32_t>& bits, int64_t i, int64_t j) {
    if (i >= c.kept || j >= c.kept) return;
    const int64_t row = c.tokens[i], column = c.tokens[j];
    bits[row * ((c.n_tokens + 31) / 32) + column / 32] |= uint32_t{1} << column % 32;
  };
  for (int64_t i = 0; i < c.length(); ++i) {
    for (int64_t j = 0; j < c.length(); ++j) {
      const bool known = resolved(c, i) && resolved(c, j) && std::llabs(i - j) >= c.separation;
      if (known || c.all_valid) mark(wanted_valid, i, j);
      if (!known) continue;
      ++wanted.valid;
      double distance2 = 0;
      for (int axis = 0; axis < 3; ++axis) {
        const double d = static_cast<double>(c.positions[3 * i + axis]) - c.positions[3 * j + axis];
        distance2 += d * d;
      }
      if (distance2 < c.cutoff * c.cutoff) {
        ++wanted.set;
        mark(wanted_set, i, j);
      }
    }
  }
  expect(counts.set == wanted.set, "pairs set", c.length(), c.separation);
  expect(counts.valid == wanted.valid, "pairs valid", c.length(), c.separation);
  expect(set == wanted_set, "bitmap of contacts", c.length(), c.separation);
  expect(valid == wanted_valid, "bitmap of valid pairs", c.length(), c.separation);
}

// Steps on a grid of 1/4, so that many distances are the cut-off itself; some are unresolved.
Case chain(int64_t n, float step, std::mt19937& random) {
  Case c;
  std::uniform_int_distribution<int> quarter(-8, 8);
  std::uniform_int_distribution<int> one_of(0, 19);
  float at[3] = {100, -50, 3};
  for (int64_t i = 0; i < n; ++i) {
    for (float& x : at) x += step * static_cast<float>(quarter(random)) / 4;
    const int odd = one_of(random);
    for (const float x : at) c.positions.push_back(odd == 0 ? kNaN : odd == 1 ? kInfinity : x);
  }
  c.kept = n;
  c.n_tokens = n + 2;
  c.tokens.resize(n);
  std::iota(c.tokens.begin(), c.tokens.end(), 1);
  return c;
}

void check_both(const Case& c) {
  check(c, false);
  check(c, true);
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (const int64_t n : {0, 1, 2, 5, 6, 7, 31, 32, 33, 63, 64, 65, 130, 399, 400, 450}) {
    for (const int64_t separation : {0, 1, 6, 1000}) {
      for (const float step : {0.5f, 2.0f, 40.0f}) {
        Case c = chain(n, step, random);
        c.separation = std::min(separation, n);
        check_both(c);
        c.kept = n / 2;  // a protein that is cut
        c.all_valid = true;
        check_both(c);
        c.all_valid = false;
        for (int64_t& token : c.tokens) token = n + 1 - token;  // tokens in any order
        check_both(c);
        c.kept = 0;  // the background alone
        c.n_tokens = 0;
        check_both(c);
      }
    }
  }
  // Far apart, all in one place, a plane, nothing resolved, a cut-off beyond everything.
  Case c = chain(200, 1, random);
  c.positions[0] = c.positions[4] = 3e38f;
  c.positions[30] = -3e38f;
  check_both(c);
  for (const double cutoff : {1e-3, 1e200}) {
    c = chain(150, 1, random);
    c.cutoff = cutoff;
    check_both(c);
  }
  c = chain(150, 1, random);
  for (size_t i = 2; i < c.positions.size(); i += 3) c.positions[i] = 0;
  check_both(c);
  c.positions.assign(c.positions.size(), 1.0f);
  check_both(c);
  c.positions.assign(c.positions.size(), kNaN);
  check_both(c);
  if (failures == 0) std::printf("contact_tests: all passed\n");
  return failures == 0 ? 0 : 1;
}
