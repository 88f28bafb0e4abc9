// Attention together with its property-weighted head statistics.
//
// The public C++ face: plain structs, pointers and sizes; it knows neither Python nor torch.
//
// For every sequence s and head h, with a[i, j] = softmax_j(score[i, j]) and
//   score[i, j] = scale * (q_i . k_j + position terms) + masks and biases:
//   output[i] = sum_j a[i, j] v_j,
// and, over pairs (i, j) of residues only,
//   arcs: pairs with a[i, j] >= theta, counted in all and by property, for every threshold;
//   mass: the same sums weighted by a[i, j] instead of counted.
// No matrix of scores or attention is stored.
#pragma once

#include <cstdint>

namespace provis {

enum class DType : int { kFloat32, kFloat64, kBFloat16, kFloat16 };

// A tensor whose last dimension (head_size elements) is contiguous; strides in elements.
struct TensorView {
  void* data = nullptr;
  int64_t batch_stride = 0;  // 0 where sequences are packed one after the other
  int64_t token_stride = 0;
  int64_t head_stride = 0;
};

enum class PropertyKind : int { kKeyClass, kQueryClass, kClassPair, kKeyValue, kPair, kSeparation };

// A property of tokens or of pairs of tokens, over the whole batch.
struct Property {
  PropertyKind kind;
  int classes;                            // class pair: side * side; key value and pair: 1
  const int16_t* labels = nullptr;        // [tokens]; < 0 unknown; >= classes: known, no class
  const int64_t* values = nullptr;        // [tokens]; units of 2^-16; kUnknownValue
  const uint32_t* pairs = nullptr;        // bitmaps of all sequences
  int64_t pair_words = 0;                 // length of `pairs`
  const int64_t* pair_offsets = nullptr;  // [sequences], words: n rows "set", n rows "valid"
};

constexpr int64_t kUnknownValue = INT64_MIN;
constexpr int kMaxHeadSize = 256;

enum Flag : int32_t { kNotFinite = 1, kArcOverflow = 2 };

struct AttentionCall {
  // Sizes. Packed: cu_seqlens has sequences + 1 entries. Batched: every sequence has `length`.
  DType dtype = DType::kFloat32;
  int64_t sequences = 0;
  int64_t heads = 0;
  int64_t tokens = 0;
  int64_t length = 0;
  int head_size = 0;
  const int32_t* cu_seqlens = nullptr;

  TensorView query, key, value, output;  // value.data may be null: then no output is computed
  void* lse = nullptr;                   // [H, tokens] packed, [B, H, L] batched; natural log

  const uint8_t* allowed = nullptr;      // [tokens] may be attended
  const float* additive = nullptr;       // [tokens] added to the scores
  const uint8_t* residues = nullptr;     // [tokens] take part in statistics
  const float* relative_bias = nullptr;  // [heads, bias_length], indexed j - i + bias_length / 2
  int64_t bias_length = 0;
  double scale = 1.0;
  int64_t window = 0;  // i attends to j only where |i - j| < window; 0: everywhere

  // Terms of relative position, both or neither: q_i . k_j becomes
  //   q_i . k_j + position_query_i . position_key[position_length / 2 + j - i],
  // so that rows beyond the middle are for keys after the query. position_query lies as query does;
  // position_key is [position_length, heads, head_size], its token_stride from row to row.
  TensorView position_query, position_key;
  int64_t position_length = 0;

  const Property* properties = nullptr;
  int n_properties = 0;
  const int32_t* bin_starts = nullptr;  // first |i - j| of each separation bin
  int n_bins = 0;
  const double* thresholds = nullptr;
  int n_thresholds = 0;

  // Accumulators, all optional. channels = 1 + sum over properties of (1 + classes).
  int64_t* arc_counts = nullptr;  // [sequences, n_thresholds, heads, channels]
  int64_t* mass = nullptr;        // [sequences, heads, channels], units of 2^-32
  int64_t* received = nullptr;    // [heads, tokens], units of 2^-32
  int64_t* entropy = nullptr;     // [sequences, heads], nats, units of 2^-32
  int32_t* arc_index = nullptr;   // [arc_capacity, 4]: sequence, head, query, key
  float* arc_weight = nullptr;    // [arc_capacity]
  int64_t* arc_total = nullptr;   // [1]
  int64_t arc_capacity = 0;
  int32_t* flags = nullptr;  // [sequences]

  int num_threads = 1;

  int channels() const {
    int n = 1;
    for (int p = 0; p < n_properties; ++p) n += 1 + properties[p].classes;
    return n;
  }
};

// Computes the call on the CPU with the best instruction set of this machine. Throws
// std::invalid_argument where cu_seqlens, the relative bias, the position keys, the window, the
// bins, the bitmaps or the head size do not fit, or a pointer is missing that another one needs,
// and std::bad_alloc.
//
// Arcs from the same q and k agree between instruction sets but for weights within rounding of a
// threshold; masses are rounded per block of queries, whose size depends on the instruction set.
void attention_statistics_cpu(const AttentionCall& call);

// Names of the instruction sets that were built and that this machine has, best first, separated
// by spaces; and the one in use. PROVIS_FAST_CPU names another one of them.
const char* cpu_available();
const char* cpu_selected();

}  // namespace provis
