// What the tests of the GPU kernels have in common.
#pragma once

#include <string>
#include <vector>

#include "cuda_cases.h"

namespace checks {

void begin();
// Prints what was seen since begin(), of which there must be so many arcs; the number of failures.
int end(const char* name, int64_t least_arcs);
void expect(bool ok, const std::string& what);

cases::Shape shape_of(provis::DType dtype, int head_size, int pitch, std::vector<int> lengths);
// Dtypes, biases, layouts and windows that both ways serve. `lengths`: of the packed ones.
struct NamedShape {
  std::string name;
  cases::Shape shape;
};
std::vector<NamedShape> common_shapes(const std::vector<int>& lengths);
// The call with the accumulators of arcs, and the list if there is room for one.
provis::AttentionCall with_arcs(const cases::Case& c, cases::Results& r);
// Counts of the heads that have no weight at a threshold, and no flags.
void check_counts(const cases::Case& c, const cases::Results& exact, const cases::Results& found,
                  const std::string& name);
void check_list(const cases::Results& exact, const cases::Results& found, const std::string& name);

}  // namespace checks
