#include "cuda_cases.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>

#include "fake_gpu.h"

namespace cases {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

uint16_t bf16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

uint16_t half_of(float x) {  // rounds towards zero; small numbers are zero
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = (bits >> 16) & 0x8000;
  if (x != x) return static_cast<uint16_t>(sign | 0x7e00);
  const int exponent = static_cast<int>((bits >> 23) & 0xff) - 127 + 15;
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  if (exponent >= 31) return static_cast<uint16_t>(sign | 0x7c00);
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 |
                               ((bits >> 13) & 0x3ff));
}

}  // namespace

bool operator<(const Arc& a, const Arc& b) {
  return std::tie(a.sequence, a.head, a.query, a.key) <
         std::tie(b.sequence, b.head, b.query, b.key);
}
bool operator==(const Arc& a, const Arc& b) { return !(a < b) && !(b < a); }

Case::Case(const Shape& of, unsigned seed) : shape(of) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int n : shape.lengths) offsets.push_back(offsets.back() + n);
  const size_t n_tokens = static_cast<size_t>(tokens());
  const size_t rows = n_tokens * static_cast<size_t>(shape.heads);
  const size_t size = static_cast<size_t>(shape.head_size),
               pitch = static_cast<size_t>(shape.pitch);
  const size_t width = shape.dtype == DType::kFloat32 ? 4 : 2;
  query.resize(rows * pitch * width);
  key.resize(rows * pitch * width);
  value.resize(rows * pitch * width);
  exact_query.resize(rows * size);
  exact_key.resize(rows * size);
  exact_value.resize(rows * size);
  const float scale = static_cast<float>(shape.sharpness);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t d = 0; d < pitch; ++d) {
      const bool inside = d < size;
      store(query, r * pitch + d, inside ? scale * normal(random) : kNaN,
            inside ? &exact_query[r * size + d] : nullptr);
      store(key, r * pitch + d, inside ? normal(random) : kNaN,
            inside ? &exact_key[r * size + d] : nullptr);
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    for (size_t d = 0; d < pitch; ++d) {
      const bool inside = d < size;
      store(value, r * pitch + d, inside ? normal(random) : kNaN,
            inside ? &exact_value[r * size + d] : nullptr);
    }
  }
  int longest = 1;
  for (int n : shape.lengths) longest = std::max(longest, n);
  for (size_t t = 0; t < n_tokens; ++t) {
    allowed.push_back(!shape.masks || random() % 10 != 0);
    residues.push_back(!shape.masks || random() % 10 != 0);
    additive.push_back(shape.additive ? normal(random) : 0.0f);
    labels.push_back(static_cast<int16_t>(static_cast<int>(random() % 7) - 1));
    sides.push_back(static_cast<int16_t>(static_cast<int>(random() % 5) - 1));
    values.push_back(random() % 8 == 0 ? provis::kUnknownValue
                                       : static_cast<int64_t>(random() % 200000) - 100000);
  }
  for (int n : shape.lengths) {
    pair_offsets.push_back(static_cast<int64_t>(pairs.size()));
    const int words = (n + 31) / 32;
    for (int w = 0; w < 2 * n * words; ++w) pairs.push_back(random());
  }
  const int64_t reach = longest + 1;
  for (int64_t b = 0; shape.relative && b < shape.heads * (2 * reach + 1); ++b) {
    // Behind a window of 50 keys, all is forbidden to the last head.
    const int64_t offset = b % (2 * reach + 1) - reach;
    const bool open = b < (shape.heads - 1) * (2 * reach + 1) || std::abs(offset) <= 50;
    relative.push_back(open ? normal(random) : -INFINITY);
  }

  const auto add = [&](provis::PropertyKind kind, int classes) -> provis::Property& {
    properties.push_back({kind, classes});
    return properties.back();
  };
  add(provis::PropertyKind::kKeyClass, 5).labels = labels.data();
  add(provis::PropertyKind::kQueryClass, 5).labels = labels.data();
  add(provis::PropertyKind::kClassPair, 9).labels = sides.data();
  add(provis::PropertyKind::kKeyValue, 1).values = values.data();
  provis::Property& pair = add(provis::PropertyKind::kPair, 1);
  pair.pairs = pairs.data();
  pair.pair_words = static_cast<int64_t>(pairs.size());
  pair.pair_offsets = pair_offsets.data();
  add(provis::PropertyKind::kSeparation, static_cast<int>(bins.size()));

  call.dtype = shape.dtype;
  call.sequences = sequences();
  call.heads = shape.heads;
  call.tokens = tokens();
  call.length = shape.batched ? shape.lengths[0] : 0;
  call.head_size = shape.head_size;
  if (!shape.batched) call.cu_seqlens = offsets.data();
  const int64_t row = shape.pitch;
  call.query = {query.data(), call.length * shape.heads * row, shape.heads * row, row};
  call.key = {key.data(), call.length * shape.heads * row, shape.heads * row, row};
  if (shape.masks) call.allowed = allowed.data();
  if (shape.masks) call.residues = residues.data();
  if (shape.additive) call.additive = additive.data();
  if (shape.relative) call.relative_bias = relative.data();
  call.bias_length = shape.relative ? 2 * reach + 1 : 0;
  call.window = shape.window;
  call.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_size));
  call.properties = properties.data();
  call.n_properties = static_cast<int>(properties.size());
  call.bin_starts = bins.data();
  call.n_bins = static_cast<int>(bins.size());
  call.thresholds = shape.thresholds.data();
  call.n_thresholds = static_cast<int>(shape.thresholds.size());

  lse.resize(rows);
  launch.lse = lse.data();
  launch.lse_batch_stride = shape.batched ? shape.heads * call.length : 0;
  launch.lse_head_stride = shape.batched ? call.length : tokens();
  launch.lse_token_stride = 1;
  std::vector<double> a;
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t begin = offsets[static_cast<size_t>(s)],
                  n = shape.lengths[static_cast<size_t>(s)];
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        lse[lse_at(s, h, i)] = allowed[static_cast<size_t>(begin + i)] != 0
                                   ? static_cast<float>(weight_row(s, h, i, a))
                                   : kNaN;
      }
    }
  }
  for (int64_t t = 0; t < tokens(); ++t) {
    if (allowed[static_cast<size_t>(t)] != 0) continue;
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (auto* tensor : {&query, &key, &value}) poison(*tensor, t, h, kNaN);
    }
  }
}

void Case::store(std::vector<unsigned char>& to, size_t element, float x, double* exact) {
  float stored = x;
  if (shape.dtype == DType::kFloat32) {
    std::memcpy(to.data() + 4 * element, &x, 4);
  } else {
    const bool brain = shape.dtype == DType::kBFloat16;
    const uint16_t bits = brain ? bf16_of(x) : half_of(x);
    stored = brain ? fake::widen(provis::BFloat16{bits}) : fake::widen(provis::Float16{bits});
    std::memcpy(to.data() + 2 * element, &bits, 2);
  }
  if (exact != nullptr) *exact = static_cast<double>(stored);
}

void Case::poison(std::vector<unsigned char>& tensor, int64_t token, int64_t head, float x) {
  const size_t row = static_cast<size_t>(token * shape.heads + head);
  for (int d = 0; d < shape.head_size; ++d) {
    store(tensor, row * static_cast<size_t>(shape.pitch) + static_cast<size_t>(d), x, nullptr);
  }
}

double Case::element(const std::vector<unsigned char>& tensor, size_t index) const {
  if (shape.dtype == DType::kFloat32) {
    float x;
    std::memcpy(&x, tensor.data() + 4 * index, sizeof x);
    return static_cast<double>(x);
  }
  uint16_t bits;
  std::memcpy(&bits, tensor.data() + 2 * index, sizeof bits);
  return static_cast<double>(shape.dtype == DType::kBFloat16 ? fake::widen(provis::BFloat16{bits})
                                                             : fake::widen(provis::Float16{bits}));
}

size_t Case::lse_at(int64_t s, int64_t h, int64_t i) const {
  const int64_t n = shape.lengths[static_cast<size_t>(s)];
  const int64_t begin = offsets[static_cast<size_t>(s)];
  return static_cast<size_t>(shape.batched ? (s * shape.heads + h) * n + i
                                           : h * tokens() + begin + i);
}

void Case::attend(bool rounded, std::vector<double>& output, std::vector<double>& exact_lse) const {
  const auto low = [&](double x) {
    if (!rounded) return x;
    const float f = static_cast<float>(x);
    return static_cast<double>(shape.dtype == DType::kBFloat16
                                   ? fake::widen(fake::narrow(f, provis::BFloat16{}))
                                   : fake::widen(fake::narrow(f, provis::Float16{})));
  };
  const size_t size = static_cast<size_t>(shape.head_size);
  output.assign(exact_query.size(), 0.0);
  exact_lse.assign(lse.size(), 0.0);
  std::vector<double> a;
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t begin = offsets[static_cast<size_t>(s)];
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < shape.lengths[static_cast<size_t>(s)]; ++i) {
        if (allowed[static_cast<size_t>(begin + i)] == 0) continue;
        exact_lse[lse_at(s, h, i)] = weight_row(s, h, i, a);
        double* to = output.data() + static_cast<size_t>((begin + i) * shape.heads + h) * size;
        for (size_t j = 0; j < a.size(); ++j) {
          if (a[j] == 0) continue;
          const size_t of_key =
              static_cast<size_t>((begin + static_cast<int64_t>(j)) * shape.heads + h);
          for (size_t d = 0; d < size; ++d) to[d] += low(a[j]) * exact_value[of_key * size + d];
        }
        for (size_t d = 0; d < size; ++d) to[d] = low(to[d]);
      }
    }
  }
}

// The attention of query i; returns the log-sum-exp.
double Case::weight_row(int64_t s, int64_t h, int64_t i, std::vector<double>& a) const {
  const int64_t begin = offsets[static_cast<size_t>(s)], n = shape.lengths[static_cast<size_t>(s)];
  const auto row = [&](const std::vector<double>& x, int64_t t) {
    return x.data() + ((begin + t) * shape.heads + h) * shape.head_size;
  };
  a.assign(static_cast<size_t>(n), -INFINITY);
  double most = -INFINITY;
  for (int64_t j = 0; j < n; ++j) {
    if (allowed[static_cast<size_t>(begin + j)] == 0) continue;
    if (shape.window > 0 && std::abs(i - j) >= shape.window) continue;
    double score = 0;
    for (int d = 0; d < shape.head_size; ++d)
      score += row(exact_query, i)[d] * row(exact_key, j)[d];
    score = score * call.scale + static_cast<double>(additive[static_cast<size_t>(begin + j)]);
    if (shape.relative) {
      const int64_t at = h * call.bias_length + call.bias_length / 2 + j - i;
      score += static_cast<double>(relative[static_cast<size_t>(at)]);
    }
    a[static_cast<size_t>(j)] = score;
    most = std::max(most, score);
  }
  if (most == -INFINITY) {
    std::fill(a.begin(), a.end(), 0.0);
    return -INFINITY;
  }
  double total = 0;
  for (double& x : a) total += x = std::exp(x - most);
  for (double& x : a) x /= total;
  return most + std::log(total);
}

// Channels that a pair adds to, spelled out; amounts of key values in units of 2^-16.
template <class Add>
void Case::channels_of(int64_t s, int64_t i, int64_t j, Add add) const {
  const int64_t begin = offsets[static_cast<size_t>(s)], n = shape.lengths[static_cast<size_t>(s)];
  const auto at = [&](const auto& table, int64_t t) {
    return table[static_cast<size_t>(begin + t)];
  };
  add(0, 1);
  const int of_key = at(labels, j), of_query = at(labels, i);
  if (of_key >= 0) add(1, 1);
  if (of_key >= 0 && of_key < 5) add(2 + of_key, 1);
  if (of_query >= 0) add(7, 1);
  if (of_query >= 0 && of_query < 5) add(8 + of_query, 1);
  const int row = at(sides, i), column = at(sides, j);
  if (row >= 0 && column >= 0) add(13, 1);
  if (row >= 0 && column >= 0 && row < 3 && column < 3) add(14 + 3 * row + column, 1);
  const int64_t value = at(values, j);
  if (value != provis::kUnknownValue) add(23, 1);
  if (value != provis::kUnknownValue) add(24, value);
  const int64_t words = (n + 31) / 32;
  const uint32_t* set = pairs.data() + pair_offsets[static_cast<size_t>(s)];
  const auto bit = [&](const uint32_t* of) { return of[i * words + j / 32] >> (j % 32) & 1; };
  if (bit(set + n * words)) add(25, 1);
  if (bit(set + n * words) && bit(set)) add(26, 1);
  int bin = 0;
  for (size_t b = 0; b < bins.size(); ++b) {
    if (std::abs(i - j) >= bins[b]) bin = static_cast<int>(b);
  }
  add(27, 1);
  add(28 + bin, 1);
}

Results Case::zeros(int64_t arc_capacity) const {
  Results r;
  const size_t cells = static_cast<size_t>(sequences() * shape.heads);
  const size_t channel_count = static_cast<size_t>(channels());
  r.counts.resize(cells * shape.thresholds.size() * channel_count);
  r.mass.resize(cells * channel_count);
  r.received.resize(static_cast<size_t>(shape.heads * tokens()));
  r.entropy.resize(cells);
  r.flags.resize(static_cast<size_t>(sequences()));
  r.arc_index.resize(static_cast<size_t>(4 * arc_capacity));
  r.arc_weight.resize(static_cast<size_t>(arc_capacity));
  return r;
}

Results Case::plain_loop() const {
  Results r = zeros();
  r.exact_mass.resize(r.mass.size());
  r.exact_received.resize(r.received.size());
  r.exact_entropy.resize(r.entropy.size());
  r.sure.assign(r.entropy.size(), true);
  const double least = *std::min_element(shape.thresholds.begin(), shape.thresholds.end());
  const int n_channels = channels();
  std::vector<double> a;
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t begin = offsets[static_cast<size_t>(s)],
                  n = shape.lengths[static_cast<size_t>(s)];
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t cell = s * shape.heads + h;
      for (int64_t i = 0; i < n; ++i) {
        if (!counted(begin + i)) continue;
        weight_row(s, h, i, a);
        for (int64_t j = 0; j < n; ++j) {
          const double weight = a[static_cast<size_t>(j)];
          if (weight > 0) r.exact_entropy[static_cast<size_t>(cell)] -= weight * std::log(weight);
          if (!counted(begin + j)) continue;
          r.exact_received[static_cast<size_t>(h * tokens() + begin + j)] += weight;
          for (double theta : shape.thresholds) {
            if (std::abs(weight - theta) <= 1e-5) r.sure[static_cast<size_t>(cell)] = false;
          }
          if (weight >= least) {
            r.arcs.push_back({static_cast<int32_t>(s), static_cast<int32_t>(h),
                              static_cast<int32_t>(i), static_cast<int32_t>(j)});
          }
          channels_of(s, i, j, [&](int c, int64_t amount) {
            const double unit = c == 24 ? 65536.0 : 1.0;
            r.exact_mass[static_cast<size_t>(cell * n_channels + c)] +=
                weight * static_cast<double>(amount) / unit;
            for (size_t t = 0; t < shape.thresholds.size(); ++t) {
              if (!(weight >= shape.thresholds[t])) continue;
              const int64_t row =
                  (s * static_cast<int64_t>(shape.thresholds.size()) + static_cast<int64_t>(t)) *
                      shape.heads +
                  h;
              r.counts[static_cast<size_t>(row * n_channels + c)] += amount;
            }
          });
        }
      }
    }
  }
  return r;
}

}  // namespace cases
