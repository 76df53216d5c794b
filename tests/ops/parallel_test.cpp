#include "ops/parallel.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <thread>

namespace lookback {
namespace {

TEST(OneThreadHere, IsOfThisThreadAndItsScopeAlone) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  const auto elsewhere = [] {
    int threads = 0;
    std::thread([&threads] { threads = at::get_num_threads(); }).join();
    return threads;
  };
  {
    const OneThreadHere one;
    EXPECT_EQ(at::get_num_threads(), 1);
    EXPECT_EQ(elsewhere(), 3);
  }
  EXPECT_EQ(at::get_num_threads(), 3);
  std::thread([] {
    const OneThreadHere one;  // before the thread has computed anything
    at::ones({100'000}).sum();
    EXPECT_EQ(at::get_num_threads(), 1);
  }).join();
  at::set_num_threads(before);
}

}  // namespace
}  // namespace lookback
