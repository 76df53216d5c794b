#include "train/machine_peak.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ops/matrix_product.h"

namespace lookback {

double measure_machine_peak(at::Device device, at::ScalarType dtype) {
  using Clock = std::chrono::steady_clock;
  const at::NoGradGuard no_gradients;
  // Large enough that the product, not its start, takes the time.
  const std::int64_t size = device.is_cpu() ? 1024 : 8192;
  // Random: a GPU multiplies equal numbers faster than others.
  const at::Tensor a = at::randn({size, size}, at::TensorOptions(device).dtype(dtype));
  const at::Tensor b = at::randn_like(a);
  const auto begin = Clock::now();
  double best_seconds = INFINITY;
  for (int trial = 0; trial < 3 || Clock::now() - begin < std::chrono::milliseconds(800); ++trial) {
    const auto start = Clock::now();
    const at::Tensor product = matrix_product(a, b);
    static_cast<void>(product[0][0].item<float>());  // waits for a GPU
    best_seconds = std::min(best_seconds, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return 2 * std::pow(static_cast<double>(size), 3) / best_seconds;
}

}  // namespace lookback
