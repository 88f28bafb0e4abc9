// The kernels on a GPU, without Python: the cases of two_pass_tests.cpp and fused_tests.cpp, and a
// call captured in a graph. Exit status 0 when everything agrees, 77 where there is no GPU.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "gpu_tests.h"
#include "provis/attention_statistics_cuda.h"

namespace {

void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "FAILED: %s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

// Copies of host arrays on the device, and the way back for accumulators.
class Mirror {
 public:
  Mirror() = default;
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  ~Mirror() {
    for (const Copy& copy : copies_) cudaFree(copy.device);
  }

  template <class T>
  T* of(T* host, int64_t count, bool back = false) {
    if (host == nullptr) return nullptr;
    Copy copy{const_cast<void*>(static_cast<const void*>(host)), nullptr,
              static_cast<size_t>(count) * sizeof(T), back};
    require(cudaMalloc(&copy.device, copy.bytes + 1), "memory");
    require(cudaMemcpy(copy.device, copy.host, copy.bytes, cudaMemcpyHostToDevice), "copy");
    copies_.push_back(copy);
    return static_cast<T*>(copy.device);
  }

  void bring_back() const {
    require(cudaDeviceSynchronize(), "the kernel");
    for (const Copy& copy : copies_) {
      if (!copy.back) continue;
      require(cudaMemcpy(copy.host, copy.device, copy.bytes, cudaMemcpyDeviceToHost), "copy back");
    }
  }

 private:
  struct Copy {
    void* host;
    void* device;
    size_t bytes;
    bool back;
  };
  std::vector<Copy> copies_;
};

// The call with all its pointers on the device.
struct DeviceCall {
  provis::AttentionCall call;
  provis::CudaLaunch launch;
  std::vector<provis::Property> properties;

  DeviceCall(const cases::Case& c, const provis::AttentionCall& from, Mirror& mirror)
      : call(from),
        launch(c.launch),
        properties(from.properties, from.properties + from.n_properties) {
    const int64_t tokens = from.tokens, cells = from.sequences * from.heads;
    const auto bytes = [&](const std::vector<unsigned char>& x) {
      return mirror.of(const_cast<unsigned char*>(x.data()), static_cast<int64_t>(x.size()));
    };
    call.query.data = bytes(c.query);
    call.key.data = bytes(c.key);
    call.cu_seqlens = mirror.of(from.cu_seqlens, from.sequences + 1);
    call.allowed = mirror.of(from.allowed, tokens);
    call.residues = mirror.of(from.residues, tokens);
    call.additive = mirror.of(from.additive, tokens);
    call.relative_bias = mirror.of(from.relative_bias, from.heads * from.bias_length);
    for (provis::Property& property : properties) {
      property.labels = mirror.of(property.labels, tokens);
      property.values = mirror.of(property.values, tokens);
      property.pairs = mirror.of(property.pairs, property.pair_words);
      property.pair_offsets = mirror.of(property.pair_offsets, from.sequences);
    }
    call.properties = properties.data();
    call.arc_counts = mirror.of(from.arc_counts, cells * from.n_thresholds * from.channels(), true);
    call.mass = mirror.of(from.mass, cells * from.channels(), true);
    call.received = mirror.of(from.received, from.heads * tokens, true);
    call.entropy = mirror.of(from.entropy, cells, true);
    call.arc_index = mirror.of(from.arc_index, 4 * from.arc_capacity, true);
    call.arc_weight = mirror.of(from.arc_weight, from.arc_capacity, true);
    call.arc_total = mirror.of(from.arc_total, 1, true);
    call.flags = mirror.of(from.flags, from.sequences, true);
    launch.lse = mirror.of(c.launch.lse, static_cast<int64_t>(c.lse.size()));
    if (from.output.data == nullptr) return;
    const int64_t size = static_cast<int64_t>(c.query.size());
    call.value.data = bytes(c.value);
    call.output.data = mirror.of(static_cast<unsigned char*>(from.output.data), size, true);
    call.lse = mirror.of(static_cast<float*>(from.lse), static_cast<int64_t>(c.lse.size()), true);
  }
};

void run(const cases::Case& c, const provis::AttentionCall& call) {
  Mirror mirror;
  const DeviceCall on_device(c, call, mirror);
  provis::attention_statistics_cuda(on_device.call, on_device.launch);
  mirror.bring_back();
}

void run_fused(const cases::Case& c, const provis::AttentionCall& call) {
  Mirror mirror;
  const DeviceCall on_device(c, call, mirror);
  provis::attention_fused_cuda(on_device.call, nullptr);
  mirror.bring_back();
}

// A captured call of either kernel, replayed twice, adds what two calls add.
int check_graph(bool fused) {
  cases::Shape shape;
  shape.lengths = {100, 30};
  shape.dtype = provis::DType::kBFloat16;
  const cases::Case c(shape, 3);
  cases::Results once = c.zeros(), twice = c.zeros();
  std::vector<unsigned char> output(c.query.size());
  const auto with = [&](cases::Results& r) {
    provis::AttentionCall call = c.call;
    call.arc_counts = r.counts.data();
    call.flags = r.flags.data();
    if (fused) {
      call.value = call.output = c.call.query;
      call.output.data = output.data();
    } else {
      call.mass = r.mass.data();
    }
    return call;
  };
  fused ? run_fused(c, with(once)) : run(c, with(once));
  Mirror mirror;
  DeviceCall on_device(c, with(twice), mirror);
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  require(cudaStreamCreate(&stream), "stream");
  on_device.launch.stream = stream;
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capture");
  if (fused) {
    provis::attention_fused_cuda(on_device.call, stream);
  } else {
    provis::attention_statistics_cuda(on_device.call, on_device.launch);
  }
  require(cudaStreamEndCapture(stream, &graph), "end of capture");
  require(cudaGraphInstantiate(&replay, graph, 0), "graph");
  for (int x = 0; x < 2; ++x) require(cudaGraphLaunch(replay, stream), "replay");
  mirror.bring_back();
  int failures = 0;
  int64_t arcs = 0;
  for (size_t x = 0; x < once.mass.size(); ++x) failures += twice.mass[x] != 2 * once.mass[x];
  for (size_t x = 0; x < once.counts.size(); ++x) {
    failures += twice.counts[x] != 2 * once.counts[x];
    arcs += once.counts[x];
  }
  failures += arcs == 0;
  if (failures != 0) std::fprintf(stderr, "FAILED: a replayed graph adds something else\n");
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return failures;
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("cuda tests: no GPU\n");
    return 77;
  }
  const int failed =
      check_two_pass(run) + check_fused(run_fused) + check_graph(false) + check_graph(true);
  return failed == 0 ? 0 : 1;
}
