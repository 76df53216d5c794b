#include "ops/composed_operators.h"

#include <atomic>

namespace lookback {
namespace {

std::atomic<int>& number_alive() {
  static std::atomic<int> number = 0;
  return number;
}

}  // namespace

ComposedOperators::ComposedOperators() { ++number_alive(); }
ComposedOperators::~ComposedOperators() { --number_alive(); }
bool ComposedOperators::active() { return number_alive() > 0; }

}  // namespace lookback
