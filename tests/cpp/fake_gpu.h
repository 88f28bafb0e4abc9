// A block of a GPU on the host: 128 threads that run the very templates of csrc/core, with barriers
// where the GPU has them. Matrices and products follow the documented fragments of ldmatrix.x4 and
// mma.m16n8k16. Asynchronous copies arrive at once in every other grid, else when they are waited
// for: a barrier that is missing on either side of them shows. ThreadSanitizer finds a
// missing barrier, AddressSanitizer a step out of shared memory.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "core/fused.h"
#include "core/two_pass.h"

namespace fake {

// Waiting threads sleep: 128 that spin on a few cores would mostly watch each other.
class Barrier {
 public:
  explicit Barrier(unsigned threads) { pthread_barrier_init(&barrier_, nullptr, threads); }
  ~Barrier() { pthread_barrier_destroy(&barrier_); }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  void wait() { pthread_barrier_wait(&barrier_); }

 private:
  pthread_barrier_t barrier_;
};

// What the lanes of a warp show each other; two sets, used in turn, need one barrier per exchange.
struct Warp {
  Barrier barrier{32};
  alignas(64) unsigned char shown[2][32][64];
};

struct Block {
  Barrier barrier{provis::kBlockThreads};
  Warp warps[provis::kBlockWarps];
  std::atomic<bool> any[2] = {};
  bool copies_at_once = false;
};

inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: fake GPU: %s\n", what);
  std::abort();
}

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

inline float widen(provis::BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

inline float widen(provis::Float16 x) {
  const int exponent = (x.bits >> 10) & 31;
  const int fraction = x.bits & 0x3ff;
  float magnitude;
  if (exponent == 31) {
    magnitude = fraction != 0 ? NAN : INFINITY;
  } else {
    magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                              : std::ldexp(static_cast<float>(fraction | 0x400), exponent - 25);
  }
  return (x.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// Rounded to nearest, ties to even.
inline provis::BFloat16 narrow(float x, provis::BFloat16) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline provis::Float16 narrow(float x, provis::Float16) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float size = std::fabs(x);
  if (x != x) return {0x7fff};
  if (size >= 65520.0f) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (size < 6.103515625e-5f) {  // subnormal: units of 2^-24
    return {
        static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(size * 16777216.0f)))};
  }
  int exponent;
  const float fraction = std::frexp(size, &exponent);                      // [0.5, 1)
  const int units = static_cast<int>(std::nearbyint(fraction * 2048.0f));  // 1024 to 2048
  return {static_cast<uint16_t>(sign | (((exponent + 14) << 10) + units - 1024))};
}

class Gpu {
 public:
  Gpu(Block& block, int thread) : block_(block), warp_(block.warps[thread / 32]), thread_(thread) {}

  int thread() const { return thread_; }
  int lane() const { return thread_ & 31; }
  int warp() const { return thread_ >> 5; }

  void sync() const { block_.barrier.wait(); }
  void sync_warp() const { warp_.barrier.wait(); }
  bool sync_or(bool x) const {
    std::atomic<bool>& any = block_.any[or_turn_];
    or_turn_ ^= 1;
    if (x) any = true;
    sync();
    const bool result = any;
    sync();
    any = false;  // before its next use but one, with barriers between
    sync();
    return result;
  }

  template <class T, class Read>
  auto exchange(const T& mine, Read read) const {
    static_assert(sizeof(T) <= sizeof warp_.shown[0][0]);
    unsigned char (*shown)[64] = warp_.shown[turn_];
    turn_ ^= 1;
    std::memcpy(shown[lane()], &mine, sizeof(T));
    warp_.barrier.wait();
    return read([shown](int lane) {
      T other;
      std::memcpy(&other, shown[lane], sizeof(T));
      return other;
    });
  }

  uint32_t ballot(bool x) const {
    return exchange(x, [](auto of) {
      uint32_t bits = 0;
      for (int l = 0; l < 32; ++l) bits |= static_cast<uint32_t>(of(l)) << l;
      return bits;
    });
  }
  bool any(bool x) const { return ballot(x) != 0; }
  template <class T>
  T shuffle(T x, int from) const {
    return exchange(x, [from](auto of) { return of(from); });
  }
  template <class T>
  T shuffle_xor(T x, int mask) const {
    return shuffle(x, lane() ^ mask);
  }
  template <class T>
  T shuffle_up(T x, int by) const {
    return shuffle(x, lane() >= by ? lane() - by : lane());
  }

  int count(uint32_t bits) const { return __builtin_popcount(bits); }
  int first_bit(uint32_t bits) const { return __builtin_ctz(bits); }

  float fma(float a, float b, float c) const { return std::fma(a, b, c); }
  float max_nan(float a, float b) const { return a != a || b != b ? NAN : a < b ? b : a; }
  float exp2(float x) const { return std::exp2(x); }
  float scaled(float x, int power) const { return std::ldexp(x, power); }
  float log(float x) const { return std::log(x); }
  float multiply_rounded(float a, float b) const { return a * b; }

  uint32_t add_shared(uint32_t* to, uint32_t amount) const {
    return __atomic_fetch_add(to, amount, __ATOMIC_RELAXED);
  }
  int64_t add_global(int64_t* to, int64_t amount) const {
    return __atomic_fetch_add(to, amount, __ATOMIC_RELAXED);
  }
  void or_global(int32_t* to, int32_t bits) const { __atomic_fetch_or(to, bits, __ATOMIC_RELAXED); }

  void copy_async(char* to, const char* from, int bytes) const {
    require(aligned(to) && aligned(from), "copies of 16 bytes are aligned");
    const Copy copy{to, from, bytes};
    if (block_.copies_at_once) {
      arrive(copy);
    } else {
      open_.push_back(copy);
    }
  }
  void commit() const {
    flying_.push_back(std::move(open_));
    open_.clear();
  }
  template <int kPending>
  void wait() const {
    while (flying_.size() > kPending) {
      for (const Copy& copy : flying_.front()) arrive(copy);
      flying_.erase(flying_.begin());
    }
  }

  template <class Element, int kCount>
  void store_unit(char* to, const Element (&unit)[kCount]) const {
    require(aligned(to), "units are aligned");
    std::memcpy(to, unit, 16);
  }
  void load_unit(float (&unit)[4], const char* from) const {
    require(aligned(from), "units are aligned");
    std::memcpy(unit, from, 16);
  }

  void load_matrices(uint32_t (&r)[4], const char* row) const {
    exchange(row, [&](auto of) {
      for (int m = 0; m < 4; ++m) {
        check_banks(of, m);
        std::memcpy(&r[m], of(8 * m + lane() / 4) + 4 * (lane() % 4), 4);
      }
      return 0;
    });
  }
  void load_transposed(uint32_t (&r)[4], const char* row) const {
    exchange(row, [&](auto of) {
      for (int m = 0; m < 4; ++m) {
        check_banks(of, m);
        uint16_t pair[2];
        for (int x = 0; x < 2; ++x) {
          std::memcpy(&pair[x], of(8 * m + 2 * (lane() % 4) + x) + 2 * (lane() / 4), 2);
        }
        r[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
      }
      return 0;
    });
  }

  template <class Element>
  uint32_t pack(float low, float high) const {
    return narrow(low, Element{}).bits | static_cast<uint32_t>(narrow(high, Element{}).bits) << 16;
  }
  void move_unit(char* to, const char* from) const {
    require(aligned(to) && aligned(from), "moves of 16 bytes are aligned");
    std::memcpy(to, from, 16);
  }

  template <class Element>
  void multiply(float* c, const uint32_t (&a)[4], uint32_t b0, uint32_t b1) const {
    struct Fragments {
      uint32_t a[4], b[2];
    };
    const Fragments mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    exchange(mine, [&](auto of) {
      const auto half = [](uint32_t pair, int which) {
        return static_cast<double>(
            widen(Element{static_cast<uint16_t>(which != 0 ? pair >> 16 : pair)}));
      };
      for (int x = 0; x < 4; ++x) {
        const int row = lane() / 4 + 8 * (x >> 1);
        const int column = 2 * (lane() % 4) + (x & 1);
        double sum = static_cast<double>(c[x]);
        for (int k = 0; k < 16; ++k) {
          const int of_row = 4 * (row % 8) + k % 8 / 2;
          const int of_column = 4 * column + k % 8 / 2;
          sum += half(of(of_row).a[(row >= 8) + 2 * (k >= 8)], k & 1) *
                 half(of(of_column).b[k >= 8], k & 1);
        }
        c[x] = static_cast<float>(sum);
      }
      return 0;
    });
  }

 private:
  template <class Of>
  static void check_banks(Of of, int matrix) {
    unsigned banks = 0;
    for (int l = 0; l < 8; ++l) {
      const char* row = of(8 * matrix + l);
      require(aligned(row), "rows of matrices are aligned");
      banks |= 1u << (reinterpret_cast<uintptr_t>(row) / 16 % 8);
    }
    require(banks == 0xff, "the rows of a matrix lie in different banks");
  }

  struct Copy {
    char* to;
    const char* from;
    int bytes;
  };

  static void arrive(const Copy& copy) {
    unsigned char unit[16] = {};
    if (copy.bytes > 0) std::memcpy(unit, copy.from, static_cast<size_t>(copy.bytes));
    std::memcpy(copy.to, unit, sizeof unit);
  }

  Block& block_;
  Warp& warp_;
  const int thread_;
  mutable int turn_ = 0;
  mutable int or_turn_ = 0;
  mutable std::vector<Copy> open_;
  mutable std::vector<std::vector<Copy>> flying_;
};

// Runs `work(gpu)` on every thread of one block.
template <class Work>
void run_block(Work work, bool copies_at_once = false) {
  const auto block = std::make_unique<Block>();
  block->copies_at_once = copies_at_once;
  std::vector<std::thread> threads;
  for (int t = 0; t < provis::kBlockThreads; ++t) {
    threads.emplace_back([&block, &work, t] {
      const Gpu gpu(*block, t);
      work(gpu);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// All blocks of a grid, one after the other. Shared memory is full of NaN before each.
template <class Block, class Call>
void run_grid(const Call& call, const int64_t (&blocks)[3], int64_t shared_bytes) {
  struct Free {
    void operator()(char* p) const { ::operator delete[](p, std::align_val_t(128)); }
  };
  const size_t bytes = static_cast<size_t>(shared_bytes);
  const std::unique_ptr<char, Free> shared(
      static_cast<char*>(::operator new[](bytes, std::align_val_t(128))));
  static bool at_once = false;
  at_once = !at_once;
  const auto work = [&](const Gpu& gpu) {
    for (int64_t b = 0; b < blocks[0] * blocks[1] * blocks[2]; ++b) {
      if (gpu.thread() == 0) std::memset(shared.get(), 0xff, bytes);
      gpu.sync();
      Block block(gpu, call);
      block.run({b % blocks[0], b / blocks[0] % blocks[1], b / blocks[0] / blocks[1]},
                shared.get());
      gpu.sync();
    }
  };
  run_block(work, at_once);
}

}  // namespace fake
