#include "core/stop.h"

#include <gmock/gmock.h>

#include <csignal>
#include <optional>
#include <thread>

#include "core/error.h"
#include "core/interrupt.h"

namespace lookback {
namespace {

TEST(StopToken, WithoutASourceNeverStops) {
  const StopToken token;
  EXPECT_FALSE(token.stop_requested());
  EXPECT_NO_THROW(token.throw_if_requested());
}

TEST(StopToken, CopiesAskTheSameSourceAndOutliveIt) {
  std::optional<StopSource> source(std::in_place);
  const StopToken token = source->token();
  StopSource copy = *source;
  EXPECT_FALSE(token.stop_requested());
  copy.request_stop();
  EXPECT_TRUE(source->stop_requested());
  EXPECT_TRUE(source->token().stop_requested());
  source.reset();
  EXPECT_TRUE(token.stop_requested());
  EXPECT_THROW(token.throw_if_requested(), Interrupted);
}

TEST(StopToken, SourcesAreApart) {
  StopSource one;
  const StopSource other;
  one.request_stop();
  EXPECT_FALSE(other.token().stop_requested());
}

TEST(StopToken, IsRequestedFromAnotherThread) {
  StopSource source;
  const StopToken token = source.token();
  std::thread asking([&source] { source.request_stop(); });
  while (!token.stop_requested()) std::this_thread::yield();
  asking.join();
  EXPECT_TRUE(token.stop_requested());
}

// In a process of their own, for what they ask stays asked.
TEST(InterruptDeathTest, ASignalRequestsTheStopAndASecondEndsTheProcess) {
  EXPECT_EXIT(
      {
        const StopToken before = interrupt_token();
        const StopToken token = catch_interrupts();
        if (token.stop_requested()) std::_Exit(1);
        std::raise(SIGTERM);
        if (!token.stop_requested() || !before.stop_requested()) std::_Exit(2);
        std::raise(SIGINT);
        std::_Exit(3);
      },
      testing::ExitedWithCode(130), testing::_);
}

TEST(InterruptDeathTest, ARequestDoesNotCountAsASignal) {
  EXPECT_EXIT(
      {
        const StopToken token = catch_interrupts();
        request_interrupt();
        if (!token.stop_requested()) std::_Exit(1);
        std::raise(SIGINT);
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), testing::_);
}

}  // namespace
}  // namespace lookback
