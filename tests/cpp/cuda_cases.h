// Cases for the GPU kernels: tensors with everything that a call can have, and what a plain
// double loop makes of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/launches.h"
#include "provis/attention_statistics.h"

namespace cases {

using provis::AttentionCall;
using provis::DType;

struct Shape {
  DType dtype = DType::kFloat32;
  std::vector<int> lengths;  // equal ones where batched
  bool batched = false;
  int64_t heads = 1;
  int head_size = 16;
  int pitch = 16;      // elements from a (token, head) to the next; what lies between is NaN
  bool masks = false;  // forbidden tokens are NaN throughout, and so is their LSE
  bool additive = false;
  bool relative = false;
  int window = 0;
  std::vector<double> thresholds{0.1, 0.3};
  double sharpness = 3;  // standard deviation of the scores
};

struct Arc {
  int32_t sequence, head, query, key;
};
bool operator<(const Arc& a, const Arc& b);
bool operator==(const Arc& a, const Arc& b);

// Accumulators as a call fills them, or as the plain loop has them.
struct Results {
  std::vector<int64_t> counts, mass, received, entropy;
  std::vector<double> exact_mass, exact_received, exact_entropy;
  std::vector<int32_t> flags;
  std::vector<int32_t> arc_index;
  std::vector<float> arc_weight;
  int64_t arc_total = 0;
  std::vector<Arc> arcs;
  std::vector<bool> sure;  // [sequences, heads]: no weight within 1e-5 of a threshold
};

class Case {
 public:
  Case(const Shape& shape, unsigned seed);
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  int64_t sequences() const { return static_cast<int64_t>(shape.lengths.size()); }
  int64_t tokens() const { return offsets.back(); }
  int channels() const { return call.channels(); }

  // Accumulators of zeros, sized for this call.
  Results zeros(int64_t arc_capacity = 0) const;
  Results plain_loop() const;
  // Output, [tokens, heads, head_size], and log-sum-exp, laid out as `lse`, of every query that may
  // be attended; 0 for the others. `rounded`: weights and outputs rounded to the dtype, as plain
  // code in low precision does.
  void attend(bool rounded, std::vector<double>& output, std::vector<double>& exact_lse) const;
  // Sets the elements of a query, key or value.
  void poison(std::vector<unsigned char>& tensor, int64_t token, int64_t head, float x);
  // An element of a tensor as it is stored.
  double element(const std::vector<unsigned char>& tensor, size_t index) const;
  // Where a query's log-sum-exp stands.
  size_t lse_at(int64_t s, int64_t h, int64_t i) const;

  const Shape shape;
  std::vector<int32_t> offsets{0};
  std::vector<unsigned char> query, key, value;  // [tokens, heads, pitch], or batched the same
  std::vector<double> exact_query, exact_key, exact_value;  // [tokens, heads, head_size]
  std::vector<uint8_t> allowed, residues;
  std::vector<float> additive, relative;
  std::vector<int16_t> labels, sides;
  std::vector<int64_t> values;
  std::vector<uint32_t> pairs;
  std::vector<int64_t> pair_offsets;
  std::vector<int32_t> bins{0, 1, 2, 6, 12};
  std::vector<provis::Property> properties;
  std::vector<float> lse;  // [heads, tokens], or [sequences, heads, length] batched
  AttentionCall call;
  provis::CudaLaunch launch;

 private:
  double weight_row(int64_t s, int64_t h, int64_t i, std::vector<double>& a) const;
  void store(std::vector<unsigned char>& to, size_t element, float x, double* exact);
  bool counted(int64_t token) const {
    const size_t t = static_cast<size_t>(token);
    return allowed[t] != 0 && residues[t] != 0;
  }
  template <class Add>
  void channels_of(int64_t s, int64_t i, int64_t j, Add add) const;
};

}  // namespace cases
