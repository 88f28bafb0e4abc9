// The instructions that the core's templates (core/two_pass.h) are written in, on a GPU of compute
// capability 8.0 or later. Every warp instruction is executed by all 32 lanes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/tiles.h"

namespace provis::cuda {

struct CudaGpu {
  static constexpr unsigned kAll = 0xffffffffu;

  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x & 31); }
  __device__ __forceinline__ int warp() const { return static_cast<int>(threadIdx.x >> 5); }

  __device__ __forceinline__ void sync() const { __syncthreads(); }
  __device__ __forceinline__ void sync_warp() const { __syncwarp(); }
  __device__ __forceinline__ bool sync_or(bool x) const { return __syncthreads_or(x) != 0; }

  __device__ __forceinline__ uint32_t ballot(bool x) const { return __ballot_sync(kAll, x); }
  __device__ __forceinline__ bool any(bool x) const { return __any_sync(kAll, x) != 0; }
  template <class T>
  __device__ __forceinline__ T shuffle(T x, int lane) const {
    return __shfl_sync(kAll, x, lane);
  }
  template <class T>
  __device__ __forceinline__ T shuffle_xor(T x, int mask) const {
    return __shfl_xor_sync(kAll, x, mask);
  }
  template <class T>
  __device__ __forceinline__ T shuffle_up(T x, int by) const {
    return __shfl_up_sync(kAll, x, static_cast<unsigned>(by));
  }

  __device__ __forceinline__ int count(uint32_t bits) const { return __popc(bits); }
  __device__ __forceinline__ int first_bit(uint32_t bits) const {
    return __ffs(static_cast<int>(bits)) - 1;
  }

  __device__ __forceinline__ float fma(float a, float b, float c) const {
    return __fmaf_rn(a, b, c);
  }
  // NaN if one of them is.
  __device__ __forceinline__ float max_nan(float a, float b) const {
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
  }
  // 2^x, to 2^-22; 0 for -inf.
  __device__ __forceinline__ float exp2(float x) const {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
  }
  __device__ __forceinline__ float log(float x) const { return logf(x); }
  // Never fused with an addition.
  __device__ __forceinline__ float multiply_rounded(float a, float b) const {
    return __fmul_rn(a, b);
  }
  // x * 2^power of a normal number, where the result is one too.
  __device__ __forceinline__ float scaled(float x, int power) const {
    return __int_as_float(__float_as_int(x) + (power << 23));
  }

  __device__ __forceinline__ uint32_t add_shared(uint32_t* to, uint32_t amount) const {
    return atomicAdd(to, amount);
  }
  // Two's complement: adding the bits of a negative number subtracts.
  __device__ __forceinline__ int64_t add_global(int64_t* to, int64_t amount) const {
    return static_cast<int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(to),
                                          static_cast<unsigned long long>(amount)));
  }
  __device__ __forceinline__ void or_global(int32_t* to, int32_t bits) const { atomicOr(to, bits); }

  // Copies `bytes` (0 to 16) to a unit of shared memory and fills up with zeros, asynchronously.
  // Both addresses are multiples of 16.
  __device__ __forceinline__ void copy_async(char* to, const char* from, int bytes) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
  }
  __device__ __forceinline__ void commit() const {
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  // Waits until at most kPending of this thread's groups are in flight.
  template <int kPending>
  __device__ __forceinline__ void wait() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
  }

  template <class Element, int kCount>
  __device__ __forceinline__ void store_unit(char* to, const Element (&unit)[kCount]) const {
    uint4 words;
    if constexpr (kCount == 8) {
      words = make_uint4(
          unit[0].bits | uint32_t{unit[1].bits} << 16, unit[2].bits | uint32_t{unit[3].bits} << 16,
          unit[4].bits | uint32_t{unit[5].bits} << 16, unit[6].bits | uint32_t{unit[7].bits} << 16);
    } else {
      words = make_uint4(__float_as_uint(unit[0]), __float_as_uint(unit[1]),
                         __float_as_uint(unit[2]), __float_as_uint(unit[3]));
    }
    *reinterpret_cast<uint4*>(to) = words;
  }
  __device__ __forceinline__ void load_unit(float (&unit)[4], const char* from) const {
    const float4 words = *reinterpret_cast<const float4*>(from);
    unit[0] = words.x;
    unit[1] = words.y;
    unit[2] = words.z;
    unit[3] = words.w;
  }

  // Four 8 x 8 matrices of 16-bit elements, whose rows of 16 bytes lanes 8 m to 8 m + 7 name.
  __device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const char* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  }

  // The same, each matrix transposed.
  __device__ __forceinline__ void load_transposed(uint32_t (&r)[4], const char* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  }

  // Two numbers rounded to nearest, `low` in the lower half.
  template <class Element>
  __device__ __forceinline__ uint32_t pack(float low, float high) const;

  // 16 bytes, both addresses aligned.
  __device__ __forceinline__ void move_unit(char* to, const char* from) const {
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
  }

  // c[0..3] += A B of m16n8k16, summed in float32.
  template <class Element>
  __device__ __forceinline__ void multiply(float* c, const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1) const;

 private:
  __device__ __forceinline__ uint32_t shared_address(const char* p) const {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
  }
};

#define PROVIS_MULTIPLY(Element, type)                                                         \
  template <>                                                                                  \
  __device__ __forceinline__ void CudaGpu::multiply<Element>(float* c, const uint32_t (&a)[4], \
                                                             uint32_t b0, uint32_t b1) const { \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                                 \
        ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                 \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                       \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                       \
  }
PROVIS_MULTIPLY(BFloat16, "bf16")
PROVIS_MULTIPLY(Float16, "f16")
#undef PROVIS_MULTIPLY

#define PROVIS_PACK(Element, type)                                                          \
  template <>                                                                               \
  __device__ __forceinline__ uint32_t CudaGpu::pack<Element>(float low, float high) const { \
    uint32_t both;                                                                          \
    asm("cvt.rn." type "x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));            \
    return both;                                                                            \
  }
PROVIS_PACK(BFloat16, "bf16")
PROVIS_PACK(Float16, "f16")
#undef PROVIS_PACK

}  // namespace provis::cuda
