#include "side_by_side.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ops/matrix_product.h"
#include "train/memory_meter.h"

namespace lookback {
namespace {

double seconds(const at::Device& device, const std::function<void()>& work) {
  const auto wait = [&device] {
    if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device.index());
  };
  const int runs = device.is_cuda() ? queue_length : 1;
  wait();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < runs; ++i) work();
  wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / runs;
}

// The machine's own rates, measured with tensors that are large enough for the work, not its start, to take the time.
class Machine {
 public:
  explicit Machine(const at::TensorOptions& tensors) : device_(tensors.device()) {
    size_ = device_.is_cuda() ? 8192 : 1024;
    // Random: a GPU multiplies equal numbers faster than others.
    factor_ = at::randn({size_, size_}, tensors);
  }

  double product_flops_a_second() const {
    const at::NoGradGuard no_gradients;
    return 2 * std::pow(static_cast<double>(size_), 3) /
           seconds(device_, [this] { benchmark::DoNotOptimize(matrix_product(factor_, factor_)); });
  }

  double bytes_a_second() {
    // Eight times what the last cache of most machines holds; of a GPU's forty times.
    if (!memory_.defined()) {
      memory_ = at::ones({std::int64_t{1} << (device_.is_cuda() ? 29 : 26)}, at::TensorOptions(device_));
    }
    const auto bytes = static_cast<double>(memory_.nbytes());
    if (!device_.is_cuda()) return bytes / seconds(device_, [this] { benchmark::DoNotOptimize(memory_.sum()); });
    at::Tensor half = memory_.narrow(0, 0, memory_.size(0) / 2);
    return bytes / seconds(device_, [&] { half.copy_(memory_.narrow(0, half.size(0), half.size(0))); });
  }

 private:
  at::Device device_;
  std::int64_t size_ = 0;
  at::Tensor factor_, memory_;
};

}  // namespace

void run_contest(benchmark::State& state, const Contest& contest) {
  const auto turn = [&](const std::function<void()>& work) {
    contest.prepare();
    return seconds(contest.tensors.device(), work);
  };
  Machine machine(contest.tensors);
  contest.prepare();
  const double peak_bytes = static_cast<double>(peak_tensor_bytes(contest.ours));
  double our_seconds = INFINITY;
  std::vector<double> rival_seconds(contest.rivals.size(), INFINITY);
  double product_rate = machine.product_flops_a_second();
  double read_rate = 0;
  for (auto _ : state) {
    const double taken = turn(contest.ours);
    state.SetIterationTime(taken);
    our_seconds = std::min(our_seconds, taken);
    for (std::size_t i = 0; i < contest.rivals.size(); ++i) {
      rival_seconds[i] = std::min(rival_seconds[i], turn(contest.rivals[i].run));
    }
    product_rate = std::max(product_rate, machine.product_flops_a_second());
    if (contest.bytes_read > 0) read_rate = std::max(read_rate, machine.bytes_a_second());
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
  if (contest.tensors.device().is_cuda()) {
    state.counters["peak_tflops"] = product_rate / 1e12;
    if (read_rate > 0) state.counters["copy_gb"] = read_rate / 1e9;
  }
}

}  // namespace lookback
