// One operator beside its best rival and beside the machine's matrix product, in turns within one benchmark, so that a
// busy machine is busy for all of them.
#pragma once

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lookback {

struct Rival {
  std::string name;
  std::function<void()> run;
};

struct Contest {
  std::function<void()> prepare = [] {};  // before every turn of ours and rivals, not timed
  std::function<void()> ours;
  std::vector<Rival> rivals;
  at::TensorOptions tensors = at::kFloat;  // where and of which type they work: the machine is measured with the same
  double flops = 0;                        // if not 0: of ours, 2 a multiply-add, what is recomputed not counted
  std::int64_t result_bytes = 0;           // outputs and gradients, which are not extra memory
  std::int64_t gather_bytes = 0;           // if not 0: retrieved or windowed keys and values, copied
  double bytes_read = 0;                   // if not 0: what ours has to read, compared with the memory's bandwidth
};

// Runs the contest and sets the counters
//   speedup             best rival's time / ours; speedup_over_<name> for each rival,
//   fraction_of_peak    (with flops) flops a second / those of a large matrix product of the same type, with as many
//                       threads,
//   extra_memory_ratio  (with gather_bytes) peak bytes of tensors beyond the results / gather_bytes,
//   bandwidth_time_ratio (with bytes_read) ours' time / that of reading as many bytes from front to back (on a GPU: of
//                       moving as many in a large copy, read and written ones counted).
// Each time is the best of its turns. On a GPU a turn is queue_length runs that are queued one behind the other, and
// the time is that of each; the machine's own rates come as peak_tflops and copy_gb.
constexpr int queue_length = 10;
void run_contest(benchmark::State& state, const Contest& contest);

// The first GPU, for the benchmarks that run there as well; they are registered where at::hasCUDA().
inline at::TensorOptions on_gpu(at::ScalarType type) { return at::TensorOptions(at::Device(at::kCUDA, 0)).dtype(type); }

}  // namespace lookback
