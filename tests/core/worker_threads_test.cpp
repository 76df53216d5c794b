#include "core/worker_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

TEST(WorkerThreads, EveryPieceIsDoneOnce) {
  for (const int num_threads : {0, 1, 3, 50}) {
    std::vector<std::atomic<int>> calls(20);
    run_on_threads(num_threads, calls.size(), [&](std::size_t i) { ++calls[i]; });
    for (const auto& count : calls) EXPECT_EQ(count, 1);
  }
  run_on_threads(2, 0, [](std::size_t) { FAIL(); });
}

TEST(WorkerThreads, AnErrorEndsTheWorkAndArrives) {
  std::atomic<int> calls = 0;
  const auto work = [&](std::size_t i) {
    ++calls;
    if (i == 3) fail("piece {}", i);
  };
  EXPECT_THROW(run_on_threads(1, 100, work), Error);
  EXPECT_EQ(calls, 4);
}

}  // namespace
}  // namespace lookback
