#include "properties/contacts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace provis {
namespace {

// From here on the grid pays.
constexpr int64_t kLongChain = 300;
// Residues compared at once before any is looked at alone.
constexpr int64_t kBlock = 8;
// Cells are wider than the cut-off by so much that rounding never parts two neighbours by two.
constexpr double kMargin = 1.001;
// Cells per residue, at most, lest an extended chain takes more time to clear cells than to fill.
constexpr double kCellsPerPoint = 8;

// Resolved residues, in an order that the search chooses.
struct Points {
  std::vector<int64_t> residue;
  std::array<std::vector<double>, 3> at;

  int64_t size() const { return static_cast<int64_t>(residue.size()); }

  void reserve(int64_t n) {
    residue.reserve(n);
    for (auto& axis : at) axis.reserve(n);
  }

  double distance2(int64_t i, int64_t j) const {
    const double dx = at[0][i] - at[0][j], dy = at[1][i] - at[1][j], dz = at[2][i] - at[2][j];
    return dx * dx + dy * dy + dz * dz;
  }
};

Points resolved_of(const ContactMap& map) {
  Points points;
  points.reserve(map.length);
  for (int64_t i = 0; i < map.length; ++i) {
    const float* p = map.positions + 3 * i;
    if (std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2])) {
      points.residue.push_back(i);
      for (int axis = 0; axis < 3; ++axis) points.at[axis].push_back(p[axis]);
    }
  }
  return points;
}

class Bitmap {
 public:
  Bitmap(uint32_t* words, int64_t n_tokens) : words_(words), width_((n_tokens + 31) / 32) {}

  int64_t width() const { return width_; }
  uint32_t* row(int64_t token) const { return words_ + token * width_; }
  void set(int64_t row, int64_t token) const { mark(this->row(row), token); }

  static void mark(uint32_t* row, int64_t token) { row[token / 32] |= uint32_t{1} << token % 32; }
  static void clear(uint32_t* row, int64_t token) {
    row[token / 32] &= ~(uint32_t{1} << token % 32);
  }

 private:
  uint32_t* words_;
  int64_t width_;
};

// Counts contacts and marks those of kept residues. Takes each pair once, from either side.
class Contacts {
 public:
  explicit Contacts(const ContactMap& map) : map_(map), bitmap_(map.set, map.n_tokens) {}

  void add(int64_t i, int64_t j) {
    count_ += i == j ? 1 : 2;
    if (i < map_.kept && j < map_.kept) {
      bitmap_.set(map_.tokens[i], map_.tokens[j]);
      bitmap_.set(map_.tokens[j], map_.tokens[i]);
    }
  }

  int64_t count() const { return count_; }

 private:
  const ContactMap& map_;
  Bitmap bitmap_;
  int64_t count_ = 0;
};

// Compares point i with points [begin, end) and hands over those near enough that `wanted` lets by.
template <class Wanted>
void compare(const Points& points, int64_t i, int64_t begin, int64_t end, double limit,
             Contacts& contacts, const Wanted& wanted) {
  const double* px = points.at[0].data();
  const double* py = points.at[1].data();
  const double* pz = points.at[2].data();
  const double x = px[i], y = py[i], z = pz[i];
  int64_t j = begin;
  for (; j + kBlock <= end; j += kBlock) {
    int near = 0;
    for (int64_t k = j; k < j + kBlock; ++k) {
      const double dx = px[k] - x, dy = py[k] - y, dz = pz[k] - z;
      near |= dx * dx + dy * dy + dz * dz < limit;
    }
    if (near == 0) continue;
    for (int64_t k = j; k < j + kBlock; ++k) {
      if (points.distance2(i, k) < limit && wanted(k)) {
        contacts.add(points.residue[i], points.residue[k]);
      }
    }
  }
  for (; j < end; ++j) {
    if (points.distance2(i, j) < limit && wanted(j)) {
      contacts.add(points.residue[i], points.residue[j]);
    }
  }
}

void search_pairs(const Points& points, const ContactMap& map, Contacts& contacts) {
  const int64_t n = points.size();
  const auto all = [](int64_t) { return true; };
  int64_t begin = 0;
  for (int64_t i = 0; i < n; ++i) {
    while (begin < n && points.residue[begin] - points.residue[i] < map.separation) ++begin;
    compare(points, i, begin, n, map.cutoff * map.cutoff, contacts, all);
  }
}

// How many cells there are along each axis, and which is a coordinate's.
struct Grid {
  std::array<double, 3> origin{}, scale{};
  std::array<int64_t, 3> cells{1, 1, 1};

  Grid(const Points& points, double cutoff) {
    const double most_cells = std::cbrt(kCellsPerPoint * static_cast<double>(points.size()));
    for (int axis = 0; axis < 3; ++axis) {
      const auto [least, most] =
          std::minmax_element(points.at[axis].begin(), points.at[axis].end());
      const double extent = *most - *least;
      origin[axis] = *least;
      const double fitting = extent / (kMargin * cutoff);
      if (fitting > 1) {  // false also for 0 / 0
        cells[axis] = static_cast<int64_t>(std::min(fitting, most_cells));
        scale[axis] = static_cast<double>(cells[axis]) / extent;
      }
    }
  }

  int64_t cell(int axis, double coordinate) const {
    const double along = (coordinate - origin[axis]) * scale[axis];
    return std::clamp<int64_t>(static_cast<int64_t>(along), 0, cells[axis] - 1);
  }
  int64_t count() const { return cells[0] * cells[1] * cells[2]; }
  int64_t index(int64_t x, int64_t y, int64_t z) const { return (z * cells[1] + y) * cells[0] + x; }
};

void search_grid(const Points& points, const ContactMap& map, Contacts& contacts) {
  const int64_t n = points.size();
  if (n == 0) return;
  const Grid grid(points, map.cutoff);
  // Points in the order of their cells; where the points of each cell begin.
  std::vector<int64_t> cell_of(n), starts(grid.count() + 1, 0), next;
  for (int64_t i = 0; i < n; ++i) {
    cell_of[i] = grid.index(grid.cell(0, points.at[0][i]), grid.cell(1, points.at[1][i]),
                            grid.cell(2, points.at[2][i]));
    ++starts[cell_of[i] + 1];
  }
  for (size_t c = 1; c < starts.size(); ++c) starts[c] += starts[c - 1];
  next.assign(starts.begin(), starts.end() - 1);
  Points sorted;
  sorted.residue.resize(n);
  for (auto& axis : sorted.at) axis.resize(n);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = next[cell_of[i]]++;
    sorted.residue[place] = points.residue[i];
    for (int axis = 0; axis < 3; ++axis) sorted.at[axis][place] = points.at[axis][i];
  }
  for (int64_t i = 0; i < n; ++i) {
    std::array<int64_t, 3> low, high;
    for (int axis = 0; axis < 3; ++axis) {
      const int64_t c = grid.cell(axis, sorted.at[axis][i]);
      low[axis] = std::max<int64_t>(c - 1, 0);
      high[axis] = std::min<int64_t>(c + 1, grid.cells[axis] - 1);
    }
    // Each pair is met from both sides; one of the two is wanted.
    const int64_t least = sorted.residue[i] + map.separation;
    const auto after = [&](int64_t k) { return sorted.residue[k] >= least; };
    for (int64_t z = low[2]; z <= high[2]; ++z) {
      for (int64_t y = low[1]; y <= high[1]; ++y) {
        compare(sorted, i, starts[grid.index(low[0], y, z)], starts[grid.index(high[0], y, z) + 1],
                map.cutoff * map.cutoff, contacts, after);
      }
    }
  }
}

// Valid partners of each resolved residue: all resolved ones but those too near along the chain.
int64_t count_valid(const Points& points, int64_t separation) {
  const int64_t n = points.size();
  int64_t count = 0;
  for (int64_t i = 0, begin = 0; i < n; ++i) {
    while (begin < n && points.residue[begin] - points.residue[i] < separation) ++begin;
    count += 2 * (n - begin);
  }
  return separation == 0 ? count - n : count;  // the diagonal was counted twice
}

void mark_valid(const ContactMap& map, const Points& points) {
  const Bitmap bitmap(map.valid, map.n_tokens);
  std::vector<uint32_t> all(bitmap.width(), 0);
  if (map.all_valid) {
    for (int64_t i = 0; i < map.kept; ++i) Bitmap::mark(all.data(), map.tokens[i]);
    for (int64_t i = 0; i < map.kept; ++i) {
      std::memcpy(bitmap.row(map.tokens[i]), all.data(), all.size() * sizeof(uint32_t));
    }
    return;
  }
  for (const int64_t i : points.residue) {
    if (i < map.kept) Bitmap::mark(all.data(), map.tokens[i]);
  }
  for (const int64_t i : points.residue) {
    if (i >= map.kept) break;
    uint32_t* row = bitmap.row(map.tokens[i]);
    std::memcpy(row, all.data(), all.size() * sizeof(uint32_t));
    const int64_t reach = std::min(map.separation, map.kept);
    for (int64_t j = std::max<int64_t>(0, i - reach + 1); j < std::min(map.kept, i + reach); ++j) {
      Bitmap::clear(row, map.tokens[j]);
    }
  }
}

}  // namespace

PairCounts contact_map(const ContactMap& map, bool force_grid) {
  const Points points = resolved_of(map);
  Contacts contacts(map);
  if (force_grid || points.size() >= kLongChain) {
    search_grid(points, map, contacts);
  } else {
    search_pairs(points, map, contacts);
  }
  mark_valid(map, points);
  return {contacts.count(), count_valid(points, map.separation)};
}

}  // namespace provis
