// Turns the operators' kernels off.
#pragma once

namespace lookback {

// While one of these lives, every operator takes the path composed of tensor operations, on all threads: to measure
// what the kernels gain, or to tell whether one of them is at fault. Forward and backward must see the same choice.
class ComposedOperators {
 public:
  ComposedOperators();
  ~ComposedOperators();
  ComposedOperators(const ComposedOperators&) = delete;
  ComposedOperators& operator=(const ComposedOperators&) = delete;

  static bool active();
};

}  // namespace lookback
