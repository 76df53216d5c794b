// Cross-entropy and its gradient in float64, for the tests of its kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/sums.h"

namespace lookback {

struct CrossEntropyTwin {
  Sums losses, gradients;  // [rows], [rows, classes]
};

// logits [rows, classes], labels and factors [rows]; a negative label is ignored.
inline CrossEntropyTwin cross_entropy_twin(const std::vector<float>& logits, const std::vector<std::int64_t>& labels,
                                           const std::vector<float>& factors) {
  const auto rows = static_cast<std::int64_t>(labels.size());
  const std::int64_t classes = static_cast<std::int64_t>(logits.size()) / rows;
  CrossEntropyTwin twin{Sums(rows), Sums(rows * classes)};
  for (std::int64_t r = 0; r < rows; ++r) {
    if (labels[r] < 0) continue;
    const float* const row = logits.data() + r * classes;
    const double largest = *std::max_element(row, row + classes);
    double sum = 0;
    for (std::int64_t i = 0; i < classes; ++i) sum += std::exp(row[i] - largest);
    // The logarithm's argument is off by a few roundings, whatever its value.
    twin.losses.add(r, std::log(sum) + largest - row[labels[r]], 1 + std::log(sum) + largest - row[labels[r]]);
    for (std::int64_t i = 0; i < classes; ++i) {
      const double probability = std::exp(row[i] - largest) / sum;
      const double one_hot = i == labels[r] ? 1 : 0;
      // row[i] - largest is rounded before exp, which makes its relative error that of the difference.
      const double magnitude = probability * (1 + std::abs(row[i] - largest)) + one_hot;
      twin.gradients.add(r * classes + i, factors[r] * (probability - one_hot), std::abs(factors[r]) * magnitude);
    }
  }
  return twin;
}

}  // namespace lookback
