// One operator beside its best rival and beside the machine's matrix product, in turns within one benchmark, so that a
// busy machine is busy for all of them.
#pragma once

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
  double flops = 0;               // if not 0: of ours, 2 a multiply-add, what is recomputed not counted
  std::int64_t result_bytes = 0;  // outputs and gradients, which are not extra memory
  std::int64_t gather_bytes = 0;  // if not 0: retrieved or windowed keys and values, copied
  double bytes_read = 0;          // if not 0: what ours has to read, compared with the memory's bandwidth
};

// Runs the contest and sets the counters
//   speedup             best rival's time / ours; speedup_over_<name> for each rival,
//   fraction_of_peak    (with flops) flops a second / those of a float32 matrix product with as many threads,
//   extra_memory_ratio  (with gather_bytes) peak bytes of tensors beyond the results / gather_bytes,
//   bandwidth_time_ratio (with bytes_read) ours' time / that of reading as many bytes from front to back.
// Each time is the best of its turns.
void run_contest(benchmark::State& state, const Contest& contest);

}  // namespace lookback
