// The Python module provis_fast._C: addresses, sizes and strides in, kernels run with the
// interpreter lock released. Callers check the arguments (provis_fast/arguments.py).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "provis/attention_statistics.h"

namespace py = pybind11;

namespace {

using Address = uintptr_t;
using Strided = std::pair<Address, std::vector<int64_t>>;

template <class T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

provis::DType dtype_of(const std::string& name) {
  if (name == "float32") return provis::DType::kFloat32;
  if (name == "float64") return provis::DType::kFloat64;
  if (name == "bfloat16") return provis::DType::kBFloat16;
  if (name == "float16") return provis::DType::kFloat16;
  throw std::invalid_argument("dtype: expected float32, float64, bfloat16 or float16, got " + name);
}

// [T, H, D] strides when packed, [B, H, L, D] strides otherwise.
provis::TensorView view_of(const Strided& tensor) {
  const auto& [address, strides] = tensor;
  provis::TensorView view;
  view.data = reinterpret_cast<void*>(address);
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

// Properties of the call; throws where a bitmap would be read beyond the end of `pairs`.
std::vector<provis::Property> properties_of(const provis::AttentionCall& call,
                                            const std::vector<int>& kinds,
                                            const std::vector<int64_t>& rows,
                                            const std::vector<int>& classes, Address labels,
                                            Address values, Address pairs, int64_t pair_words,
                                            Address pair_offsets) {
  std::vector<provis::Property> properties(kinds.size());
  for (size_t p = 0; p < kinds.size(); ++p) {
    provis::Property& property = properties[p];
    property.kind = static_cast<provis::PropertyKind>(kinds[p]);
    property.classes = classes[p];
    switch (property.kind) {
      case provis::PropertyKind::kKeyClass:
      case provis::PropertyKind::kQueryClass:
      case provis::PropertyKind::kClassPair:
        property.labels = pointer<const int16_t>(labels) + rows[p] * call.tokens;
        break;
      case provis::PropertyKind::kKeyValue:
        property.values = pointer<const int64_t>(values) + rows[p] * call.tokens;
        break;
      case provis::PropertyKind::kPair:
        property.pairs = pointer<const uint32_t>(pairs);
        property.pair_offsets = pointer<const int64_t>(pair_offsets) + rows[p] * call.sequences;
        for (int64_t s = 0; s < call.sequences; ++s) {
          const int64_t n = call.cu_seqlens == nullptr
                                ? call.length
                                : int64_t{call.cu_seqlens[s + 1]} - call.cu_seqlens[s];
          const int64_t begin = property.pair_offsets[s];
          const int64_t end = begin + 2 * n * ((n + 31) / 32);
          if (begin < 0 || end > pair_words) {
            throw std::invalid_argument(
                "properties.pair_offsets: expected bitmaps of sequence " + std::to_string(s) +
                " within the " + std::to_string(pair_words) + " words of properties.pairs, got " +
                std::to_string(begin) + ".." + std::to_string(end));
          }
        }
        break;
      case provis::PropertyKind::kSeparation:
        break;
    }
  }
  return properties;
}

void attention_statistics(const std::string& dtype, const std::vector<int64_t>& shape,
                          const Strided& query, const Strided& key, const Strided& value,
                          const Strided& output, Address lse, Address cu_seqlens, int64_t sequences,
                          Address allowed, Address additive, Address residues,
                          Address relative_bias, int64_t bias_length, double scale,
                          const std::vector<int>& kinds, const std::vector<int64_t>& rows,
                          const std::vector<int>& classes, Address labels, Address values,
                          Address pairs, int64_t pair_words, Address pair_offsets,
                          const std::vector<int32_t>& bin_starts,
                          const std::vector<double>& thresholds, Address arc_counts, Address mass,
                          Address received, Address entropy, Address arc_index, Address arc_weight,
                          Address arc_total, Address flags, int64_t arc_capacity, int num_threads) {
  provis::AttentionCall call;
  call.dtype = dtype_of(dtype);
  call.sequences = sequences;
  call.cu_seqlens = pointer<const int32_t>(cu_seqlens);
  if (shape.size() == 3) {
    call.tokens = shape[0];
    call.heads = shape[1];
  } else {
    call.heads = shape[1];
    call.length = shape[2];
    call.tokens = shape[0] * shape[2];
  }
  call.head_size = static_cast<int>(shape.back());
  call.query = view_of(query);
  call.key = view_of(key);
  call.value = view_of(value);
  call.output = view_of(output);
  call.lse = pointer<void>(lse);
  call.allowed = pointer<const uint8_t>(allowed);
  call.additive = pointer<const float>(additive);
  call.residues = pointer<const uint8_t>(residues);
  call.relative_bias = pointer<const float>(relative_bias);
  call.bias_length = bias_length;
  call.scale = scale;
  // Offsets are read before anything else is checked against them.
  provis::check_sequences(call);
  const std::vector<provis::Property> properties =
      properties_of(call, kinds, rows, classes, labels, values, pairs, pair_words, pair_offsets);
  call.properties = properties.data();
  call.n_properties = static_cast<int>(properties.size());
  call.bin_starts = bin_starts.data();
  call.n_bins = static_cast<int>(bin_starts.size());
  call.thresholds = thresholds.data();
  call.n_thresholds = static_cast<int>(thresholds.size());
  call.arc_counts = pointer<int64_t>(arc_counts);
  call.mass = pointer<int64_t>(mass);
  call.received = pointer<int64_t>(received);
  call.entropy = pointer<int64_t>(entropy);
  call.arc_index = pointer<int32_t>(arc_index);
  call.arc_weight = pointer<float>(arc_weight);
  call.arc_total = pointer<int64_t>(arc_total);
  call.arc_capacity = arc_capacity;
  call.flags = pointer<int32_t>(flags);
  call.num_threads = std::max(1, num_threads);

  const py::gil_scoped_release release;
  provis::attention_statistics_cpu(call);
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
        py::arg("query"), py::arg("key"), py::arg("value"), py::arg("output"), py::arg("lse"),
        py::arg("cu_seqlens"), py::arg("sequences"), py::arg("allowed"), py::arg("additive"),
        py::arg("residues"), py::arg("relative_bias"), py::arg("bias_length"), py::arg("scale"),
        py::arg("kinds"), py::arg("rows"), py::arg("classes"), py::arg("labels"), py::arg("values"),
        py::arg("pairs"), py::arg("pair_words"), py::arg("pair_offsets"), py::arg("bin_starts"),
        py::arg("thresholds"), py::arg("arc_counts"), py::arg("mass"), py::arg("received"),
        py::arg("entropy"), py::arg("arc_index"), py::arg("arc_weight"), py::arg("arc_total"),
        py::arg("flags"), py::arg("arc_capacity"), py::arg("num_threads"));
  m.def("cpu_info", &cpu_info, "Instruction sets: selected, and available ones, best first.");
  m.def("build_info", &build_info, "Version, compiler and parts of this build.");
}
