// Heads that lie 2^31 elements apart: offsets of the GPU kernels take 64 bits. On the host alone,
// whose memory of so many bytes is never touched but for a few rows.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "gpu_checks.h"
#include "gpu_tests.h"

namespace {

using cases::Case;
using cases::Results;
using checks::expect;

constexpr int64_t kApart = int64_t{1} << 31;  // elements of 2 bytes

// A tensor [tokens, 2, pitch] with its heads far apart.
class Far {
 public:
  Far(const Case& c, const std::vector<unsigned char>& near)
      : row_(static_cast<size_t>(c.shape.pitch) * 2),
        rows_(static_cast<size_t>(c.tokens())),
        bytes_(static_cast<size_t>(kApart) * 2 + rows_ * row_) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED) return;
    data_ = static_cast<unsigned char*>(mapped);
    each_row(const_cast<std::vector<unsigned char>&>(near),
             [this](unsigned char* to, unsigned char* from) { std::memcpy(to, from, row_); });
  }
  ~Far() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  Far(const Far&) = delete;
  Far& operator=(const Far&) = delete;

  bool mapped() const { return data_ != nullptr; }
  provis::TensorView view(const Case& c) const { return {data_, 0, c.shape.pitch, kApart}; }
  std::vector<unsigned char> gathered() const {
    std::vector<unsigned char> near(2 * rows_ * row_);
    each_row(near,
             [this](unsigned char* of_far, unsigned char* to) { std::memcpy(to, of_far, row_); });
    return near;
  }

 private:
  template <class Move>
  void each_row(std::vector<unsigned char>& near, Move move) const {
    for (size_t token = 0; token < rows_; ++token) {
      for (size_t h = 0; h < 2; ++h) {
        move(data_ + h * static_cast<size_t>(kApart) * 2 + token * row_,
             near.data() + (2 * token + h) * row_);
      }
    }
  }

  size_t row_, rows_, bytes_;
  unsigned char* data_ = nullptr;
};

}  // namespace

int check_far_strides(Runner two_pass, Runner fused) {
  checks::begin();
  cases::Shape shape = checks::shape_of(provis::DType::kBFloat16, 16, 16, {70, 30});
  shape.heads = 2;
  const Case c(shape, 11);
  const std::vector<unsigned char> blank(c.query.size(), 0xff);
  const Far query(c, c.query), key(c, c.key), value(c, c.value), output(c, blank);
  if (!query.mapped() || !key.mapped() || !value.mapped() || !output.mapped()) {
    std::printf("far strides: not enough address space; left out\n");
    return 0;
  }
  Results near_counts = c.zeros(), far_counts = c.zeros();
  provis::AttentionCall near_call = checks::with_arcs(c, near_counts);
  provis::AttentionCall far_call = checks::with_arcs(c, far_counts);
  far_call.query = query.view(c);
  far_call.key = key.view(c);
  two_pass(c, near_call);
  two_pass(c, far_call);
  checks::check_counts(c, c.plain_loop(), near_counts, "far strides");
  expect(near_counts.counts == far_counts.counts, "two passes over far strides");

  Results near_fused = c.zeros(), far_fused = c.zeros();
  std::vector<unsigned char> near_output = blank;
  near_call.arc_counts = near_fused.counts.data();
  near_call.value = near_call.output = c.call.query;
  near_call.value.data = const_cast<unsigned char*>(c.value.data());
  near_call.output.data = near_output.data();
  far_call.arc_counts = far_fused.counts.data();
  far_call.value = value.view(c);
  far_call.output = output.view(c);
  fused(c, near_call);
  fused(c, far_call);
  expect(near_fused.counts == far_fused.counts, "the fused kernel over far strides");
  expect(near_output == output.gathered(), "the fused kernel's output of far strides");
  return checks::end("far strides", 100);
}
