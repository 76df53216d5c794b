// Work spread over the tensor library's threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace lookback {

// As many threads as the tensor library takes by itself (OMP_NUM_THREADS; else one a core of the machine), but unless
// that was said no more than there are cores for this process (core/available_cores.h). Of commands that were not told.
int default_threads();

// While it lives, the tensor library's work that this thread starts stays on this thread, whatever its number of
// threads; other threads are left alone. Made and destroyed by the same thread.
class OneThreadHere {
 public:
  OneThreadHere();
  ~OneThreadHere();
  OneThreadHere(const OneThreadHere&) = delete;
  OneThreadHere& operator=(const OneThreadHere&) = delete;

 private:
  int threads_before_;
  int mkl_threads_before_ = 0;
};

// work(first, last, scratch) for ranges that cover [0, num_items); each thread has scratch_size floats of its own.
// item_flops: a thread is woken only for about as much work as waking it takes.
void parallel_with_scratch(std::int64_t num_items, double item_flops, std::int64_t scratch_size,
                           const std::function<void(std::int64_t first, std::int64_t last, float* scratch)>& work);

// work(i) for all i < num_items, each on one thread, with the caller's gradient mode; a single item on the caller's,
// so that it may spread its own work. Errors are the caller's.
void for_each_in_parallel(std::size_t num_items, const std::function<void(std::size_t)>& work);

}  // namespace lookback
