// Runs the tasks of a call (call_plan.h) on the kernels of this machine's instruction set, one
// worker (worker.h) per thread.
//
// Everything that tasks add is an integer, so results are the same for any number of threads.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>

#include "cpu/call_plan.h"
#include "cpu/dispatch.h"
#include "cpu/worker.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace provis::cpu {
namespace {

// Denormal numbers cost some processors a hundred cycles each; weights that small add nothing.
class [[maybe_unused]] FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

}  // namespace

void run_call(const AttentionCall& call, const KernelTable& kernel) {
  const CallPlan plan(call, kernel);
  const size_t n_tasks = plan.tasks.size();
  std::atomic<size_t> next{0};
  std::exception_ptr failure;  // none may leave the parallel region
  const int threads =
      static_cast<int>(std::min(static_cast<size_t>(std::max(1, call.num_threads)), n_tasks));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    try {
      FlushDenormals flush;
      Worker worker(plan);
      for (size_t t = next++; t < n_tasks; t = next++) worker.run(plan.tasks[t]);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
      next = n_tasks;
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace provis::cpu
