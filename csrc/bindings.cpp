// The Python module provis_fast._C: addresses, sizes and strides in, kernels run with the
// interpreter lock released. Callers check the arguments (provis_fast/arguments.py).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "properties/contacts.h"
#include "provis/attention_statistics.h"
#if defined(PROVIS_FAST_WITH_CUDA)
#include "provis/attention_statistics_cuda.h"
#endif

namespace py = pybind11;

namespace {

using Address = uintptr_t;
using Sizes = std::vector<int64_t>;

// Tensors of a call, in the order in which Python hands over their addresses; 0 is no tensor.
enum Slot {
  kQuery,
  kKey,
  kValue,
  kOutput,
  kLse,
  kCuSeqlens,
  kAllowed,
  kAdditive,
  kResidues,
  kRelativeBias,
  kPositionQuery,
  kPositionKey,
  kLabels,
  kValues,
  kPairs,
  kPairOffsets,
  kArcCounts,
  kMass,
  kReceived,
  kEntropy,
  kArcIndex,
  kArcWeight,
  kArcTotal,
  kFlags,
  kSlots
};

constexpr int kStrided = 6;  // tensors with strides of their own

class Tensors {
 public:
  explicit Tensors(const std::array<Address, kSlots>& addresses) : addresses_(addresses) {}

  template <class T>
  T* at(Slot slot) const {
    return reinterpret_cast<T*>(addresses_[slot]);
  }

  // [T, H, D] strides when packed, [B, H, L, D] strides otherwise.
  provis::TensorView view(Slot slot, const Sizes& strides) const {
    provis::TensorView view;
    view.data = at<void>(slot);
    if (strides.size() == 3) {
      view.token_stride = strides[0];
      view.head_stride = strides[1];
    } else if (strides.size() == 4) {
      view.batch_stride = strides[0];
      view.head_stride = strides[1];
      view.token_stride = strides[2];
    }
    return view;
  }

 private:
  const std::array<Address, kSlots>& addresses_;
};

std::vector<provis::Property> properties_of(const provis::AttentionCall& call,
                                            const Tensors& tensors, const std::vector<int>& kinds,
                                            const Sizes& rows, const std::vector<int>& classes,
                                            int64_t pair_words) {
  std::vector<provis::Property> properties(kinds.size());
  for (size_t p = 0; p < kinds.size(); ++p) {
    provis::Property& property = properties[p];
    property.kind = static_cast<provis::PropertyKind>(kinds[p]);
    property.classes = classes[p];
    switch (property.kind) {
      case provis::PropertyKind::kKeyClass:
      case provis::PropertyKind::kQueryClass:
      case provis::PropertyKind::kClassPair:
        property.labels = tensors.at<const int16_t>(kLabels) + rows[p] * call.tokens;
        break;
      case provis::PropertyKind::kKeyValue:
        property.values = tensors.at<const int64_t>(kValues) + rows[p] * call.tokens;
        break;
      case provis::PropertyKind::kPair:
        property.pairs = tensors.at<const uint32_t>(kPairs);
        property.pair_offsets = tensors.at<const int64_t>(kPairOffsets) + rows[p] * call.sequences;
        property.pair_words = pair_words;
        break;
      case provis::PropertyKind::kSeparation:
        break;
    }
  }
  return properties;
}

// A call and what its pointers point to.
struct PreparedCall {
  provis::AttentionCall call;
  std::vector<provis::Property> properties;
};

// `strides` of query, key, value, output, position query and position key ([P, H, D]); empty where
// there is none. `dtype` counts as DType.
// The call points into bin_starts, thresholds and its own properties.
PreparedCall prepare(int dtype, const Sizes& shape, const std::array<Sizes, kStrided>& strides,
                     const std::array<Address, kSlots>& addresses, int64_t sequences,
                     int64_t bias_length, int64_t position_length, int64_t window, double scale,
                     const std::vector<int>& kinds, const Sizes& rows,
                     const std::vector<int>& classes, int64_t pair_words,
                     const std::vector<int32_t>& bin_starts, const std::vector<double>& thresholds,
                     int64_t arc_capacity) {
  const Tensors tensors(addresses);
  PreparedCall prepared;
  provis::AttentionCall& call = prepared.call;
  call.dtype = static_cast<provis::DType>(dtype);
  call.sequences = sequences;
  call.cu_seqlens = tensors.at<const int32_t>(kCuSeqlens);
  if (shape.size() == 3) {
    call.tokens = shape[0];
    call.heads = shape[1];
  } else {
    call.heads = shape[1];
    call.length = shape[2];
    call.tokens = shape[0] * shape[2];
  }
  call.head_size = static_cast<int>(shape.back());
  call.query = tensors.view(kQuery, strides[0]);
  call.key = tensors.view(kKey, strides[1]);
  call.value = tensors.view(kValue, strides[2]);
  call.output = tensors.view(kOutput, strides[3]);
  call.lse = tensors.at<void>(kLse);
  call.allowed = tensors.at<const uint8_t>(kAllowed);
  call.additive = tensors.at<const float>(kAdditive);
  call.residues = tensors.at<const uint8_t>(kResidues);
  call.relative_bias = tensors.at<const float>(kRelativeBias);
  call.bias_length = bias_length;
  call.scale = scale;
  call.window = window;
  call.position_query = tensors.view(kPositionQuery, strides[4]);
  call.position_key = tensors.view(kPositionKey, strides[5]);
  call.position_length = position_length;
  prepared.properties = properties_of(call, tensors, kinds, rows, classes, pair_words);
  call.properties = prepared.properties.data();  // stays where it is when the struct is moved
  call.n_properties = static_cast<int>(prepared.properties.size());
  call.bin_starts = bin_starts.data();
  call.n_bins = static_cast<int>(bin_starts.size());
  call.thresholds = thresholds.data();
  call.n_thresholds = static_cast<int>(thresholds.size());
  call.arc_counts = tensors.at<int64_t>(kArcCounts);
  call.mass = tensors.at<int64_t>(kMass);
  call.received = tensors.at<int64_t>(kReceived);
  call.entropy = tensors.at<int64_t>(kEntropy);
  call.arc_index = tensors.at<int32_t>(kArcIndex);
  call.arc_weight = tensors.at<float>(kArcWeight);
  call.arc_total = tensors.at<int64_t>(kArcTotal);
  call.arc_capacity = arc_capacity;
  call.flags = tensors.at<int32_t>(kFlags);
  return prepared;
}

void attention_statistics(int dtype, const Sizes& shape, const std::array<Sizes, kStrided>& strides,
                          const std::array<Address, kSlots>& addresses, int64_t sequences,
                          int64_t bias_length, int64_t position_length, int64_t window,
                          double scale, const std::vector<int>& kinds, const Sizes& rows,
                          const std::vector<int>& classes, int64_t pair_words,
                          const std::vector<int32_t>& bin_starts,
                          const std::vector<double>& thresholds, int64_t arc_capacity,
                          int num_threads) {
  PreparedCall prepared =
      prepare(dtype, shape, strides, addresses, sequences, bias_length, position_length, window,
              scale, kinds, rows, classes, pair_words, bin_starts, thresholds, arc_capacity);
  prepared.call.num_threads = std::max(1, num_threads);
  const py::gil_scoped_release release;
  provis::attention_statistics_cpu(prepared.call);
}

#if defined(PROVIS_FAST_WITH_CUDA)
// Addresses are on the device that is current; `lse_strides` of sequence, head and token.
void attention_statistics_cuda(
    int dtype, const Sizes& shape, const std::array<Sizes, kStrided>& strides,
    const std::array<Address, kSlots>& addresses, int64_t sequences, int64_t bias_length,
    int64_t position_length, int64_t window, double scale, const std::vector<int>& kinds,
    const Sizes& rows, const std::vector<int>& classes, int64_t pair_words,
    const std::vector<int32_t>& bin_starts, const std::vector<double>& thresholds,
    int64_t arc_capacity, Address stream, Address lse, const std::array<int64_t, 3>& lse_strides) {
  const PreparedCall prepared =
      prepare(dtype, shape, strides, addresses, sequences, bias_length, position_length, window,
              scale, kinds, rows, classes, pair_words, bin_starts, thresholds, arc_capacity);
  provis::CudaLaunch launch;
  launch.stream = reinterpret_cast<void*>(stream);
  launch.lse = reinterpret_cast<const float*>(lse);
  launch.lse_batch_stride = lse_strides[0];
  launch.lse_head_stride = lse_strides[1];
  launch.lse_token_stride = lse_strides[2];
  const py::gil_scoped_release release;
  provis::attention_statistics_cuda(prepared.call, launch);
}

void attention_fused_cuda(int dtype, const Sizes& shape, const std::array<Sizes, 6>& strides,
                          const std::array<Address, kSlots>& addresses, int64_t sequences,
                          int64_t bias_length, int64_t position_length, int64_t window,
                          double scale, const std::vector<int>& kinds, const Sizes& rows,
                          const std::vector<int>& classes, int64_t pair_words,
                          const std::vector<int32_t>& bin_starts,
                          const std::vector<double>& thresholds, int64_t arc_capacity,
                          Address stream) {
  const PreparedCall prepared =
      prepare(dtype, shape, strides, addresses, sequences, bias_length, position_length, window,
              scale, kinds, rows, classes, pair_words, bin_starts, thresholds, arc_capacity);
  const py::gil_scoped_release release;
  provis::attention_fused_cuda(prepared.call, reinterpret_cast<void*>(stream));
}

py::dict fused_limits() {
  const provis::FusedLimits limits = provis::fused_limits();
  py::dict info;
  info["max_head_size"] = limits.head_size;
  info["max_candidates"] = limits.candidates;
  info["max_thresholds"] = limits.thresholds;
  info["max_properties"] = limits.properties;
  info["dtypes"] = std::vector<int>{static_cast<int>(provis::DType::kBFloat16),
                                    static_cast<int>(provis::DType::kFloat16)};
  return info;
}
#endif

// `bitmaps` [2, n_tokens, ceil(n_tokens / 32)]: set, then valid. Returns pairs set and pairs valid.
std::array<int64_t, 2> contact_map(Address positions, int64_t length, double cutoff,
                                   int64_t separation, Address tokens, int64_t kept,
                                   int64_t n_tokens, bool all_valid, Address bitmaps) {
  provis::ContactMap map;
  map.positions = reinterpret_cast<const float*>(positions);
  map.length = length;
  map.cutoff = cutoff;
  map.separation = separation;
  map.kept = kept;
  map.tokens = reinterpret_cast<const int64_t*>(tokens);
  map.n_tokens = n_tokens;
  map.all_valid = all_valid;
  map.set = reinterpret_cast<uint32_t*>(bitmaps);
  map.valid = map.set + n_tokens * ((n_tokens + 31) / 32);
  const py::gil_scoped_release release;
  const provis::PairCounts counts = provis::contact_map(map);
  return {counts.set, counts.valid};
}

py::dict cpu_info() {
  py::dict info;
  info["selected"] = provis::cpu_selected();
  info["available"] = py::str(provis::cpu_available()).attr("split")();
  return info;
}

py::dict build_info() {
  py::dict info;
  info["version"] = PROVIS_FAST_VERSION;
  info["compiler"] = PROVIS_FAST_COMPILER;
  info["cpu"] = true;
#if defined(PROVIS_FAST_WITH_CUDA)
  info["cuda"] = true;
#else
  info["cuda"] = false;
#endif
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled kernels of provis_fast. Use provis_fast.ops.";
  m.def("attention_statistics", &attention_statistics, py::arg("dtype"), py::arg("shape"),
        py::arg("strides"), py::arg("tensors"), py::arg("sequences"), py::arg("bias_length"),
        py::arg("position_length"), py::arg("window"), py::arg("scale"), py::arg("kinds"),
        py::arg("rows"), py::arg("classes"), py::arg("pair_words"), py::arg("bin_starts"),
        py::arg("thresholds"), py::arg("arc_capacity"), py::arg("num_threads"));
#if defined(PROVIS_FAST_WITH_CUDA)
  m.def("attention_statistics_cuda", &attention_statistics_cuda, py::arg("dtype"), py::arg("shape"),
        py::arg("strides"), py::arg("tensors"), py::arg("sequences"), py::arg("bias_length"),
        py::arg("position_length"), py::arg("window"), py::arg("scale"), py::arg("kinds"),
        py::arg("rows"), py::arg("classes"), py::arg("pair_words"), py::arg("bin_starts"),
        py::arg("thresholds"), py::arg("arc_capacity"), py::arg("stream"), py::arg("lse"),
        py::arg("lse_strides"));
  m.def("attention_fused_cuda", &attention_fused_cuda, py::arg("dtype"), py::arg("shape"),
        py::arg("strides"), py::arg("tensors"), py::arg("sequences"), py::arg("bias_length"),
        py::arg("position_length"), py::arg("window"), py::arg("scale"), py::arg("kinds"),
        py::arg("rows"), py::arg("classes"), py::arg("pair_words"), py::arg("bin_starts"),
        py::arg("thresholds"), py::arg("arc_capacity"), py::arg("stream"));
  m.def("fused_limits", &fused_limits, "What attention_fused_cuda takes.");
#endif
  m.def("contact_map", &contact_map, py::arg("positions"), py::arg("length"), py::arg("cutoff"),
        py::arg("separation"), py::arg("tokens"), py::arg("kept"), py::arg("n_tokens"),
        py::arg("all_valid"), py::arg("bitmaps"));
  m.def("cpu_info", &cpu_info, "Instruction sets: selected, and available ones, best first.");
  m.def("build_info", &build_info, "Version, compiler and parts of this build.");
}
