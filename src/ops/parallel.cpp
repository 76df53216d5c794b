// Compiled with -fopenmp, without which at::parallel_for runs on one thread.
#include "ops/parallel.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdlib>

#include "core/available_cores.h"

// LibTorch's runtime's, whatever the compiler's own; and MKL's, where LibTorch has MKL: 0 takes what the process has.
extern "C" void omp_set_num_threads(int num_threads) noexcept;
// NOLINTNEXTLINE(readability-identifier-naming): MKL's name
extern "C" int MKL_Set_Num_Threads_Local(int num_threads) __attribute__((weak));

namespace lookback {

OneThreadHere::OneThreadHere() : threads_before_(at::get_num_threads()) {
  omp_set_num_threads(1);
  if (MKL_Set_Num_Threads_Local != nullptr) mkl_threads_before_ = MKL_Set_Num_Threads_Local(1);
}

OneThreadHere::~OneThreadHere() {
  omp_set_num_threads(threads_before_);
  if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(mkl_threads_before_);
}

int default_threads() {
  const int threads = at::get_num_threads();
  return std::getenv("OMP_NUM_THREADS") != nullptr ? threads : std::min(threads, available_cores());
}

void parallel_with_scratch(std::int64_t num_items, double item_flops, std::int64_t scratch_size,
                           const std::function<void(std::int64_t first, std::int64_t last, float* scratch)>& work) {
  constexpr double smallest_flops = 1e6;
  const auto grain = static_cast<std::int64_t>(std::max(1.0, smallest_flops / std::max(1.0, item_flops)));
  // Every thread's part begins on a cache line.
  constexpr std::int64_t line = 64 / sizeof(float);
  const std::int64_t part = (scratch_size + line - 1) / line * line;
  // Not a tensor: making one takes as long as a decoding step's arithmetic.
  const at::DataPtr memory = at::getCPUAllocator()->allocate(at::get_num_threads() * part * sizeof(float));
  auto* const scratch = static_cast<float*>(memory.get());
  at::parallel_for(0, num_items, grain, [&](std::int64_t first, std::int64_t last) {
    work(first, last, scratch + at::get_thread_num() * part);
  });
}

void for_each_in_parallel(std::size_t num_items, const std::function<void(std::size_t)>& work) {
  if (num_items == 1) {
    work(0);
    return;
  }
  const bool gradients = at::GradMode::is_enabled();
  at::parallel_for(0, static_cast<std::int64_t>(num_items), 1, [&](std::int64_t first, std::int64_t last) {
    const at::AutoGradMode mode(gradients);
    for (std::int64_t i = first; i < last; ++i) work(static_cast<std::size_t>(i));
  });
}

}  // namespace lookback
