#include "side_by_side.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ops/matrix_product.h"
#include "train/memory_meter.h"

namespace lookback {
namespace {

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of a float32 matrix product, large enough that the product, not its start, takes the time.
double product_flops_a_second() {
  constexpr std::int64_t size = 1024;
  static const at::Tensor a = at::ones({size, size});
  const at::NoGradGuard no_gradients;
  return 2 * std::pow(static_cast<double>(size), 3) / seconds([] { benchmark::DoNotOptimize(matrix_product(a, a)); });
}

double bytes_a_second() {
  // Eight times what the last cache of most machines holds.
  static const at::Tensor memory = at::ones({std::int64_t{1} << 26});
  return static_cast<double>(memory.nbytes()) / seconds([] { benchmark::DoNotOptimize(memory.sum()); });
}

}  // namespace

void run_contest(benchmark::State& state, const Contest& contest) {
  const auto turn = [&](const std::function<void()>& work) {
    contest.prepare();
    return seconds(work);
  };
  contest.prepare();
  const double peak_bytes = static_cast<double>(peak_tensor_bytes(contest.ours));
  double our_seconds = INFINITY;
  std::vector<double> rival_seconds(contest.rivals.size(), INFINITY);
  double product_rate = product_flops_a_second();
  double read_rate = 0;
  for (auto _ : state) {
    const double taken = turn(contest.ours);
    state.SetIterationTime(taken);
    our_seconds = std::min(our_seconds, taken);
    for (std::size_t i = 0; i < contest.rivals.size(); ++i) {
      rival_seconds[i] = std::min(rival_seconds[i], turn(contest.rivals[i].run));
    }
    product_rate = std::max(product_rate, product_flops_a_second());
    if (contest.bytes_read > 0) read_rate = std::max(read_rate, bytes_a_second());
  }
  for (std::size_t i = 0; i < contest.rivals.size(); ++i) {
    state.counters["speedup_over_" + contest.rivals[i].name] = rival_seconds[i] / our_seconds;
  }
  state.counters["speedup"] = *std::ranges::min_element(rival_seconds) / our_seconds;
  if (contest.flops > 0) state.counters["fraction_of_peak"] = contest.flops / our_seconds / product_rate;
  if (contest.gather_bytes > 0) {
    state.counters["extra_memory_ratio"] =
        (peak_bytes - static_cast<double>(contest.result_bytes)) / static_cast<double>(contest.gather_bytes);
  }
  if (contest.bytes_read > 0) {
    state.counters["bandwidth_time_ratio"] = our_seconds / (contest.bytes_read / read_rate);
  }
}

}  // namespace lookback
