#include "core/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>

namespace lookback {
namespace {

std::atomic<bool> stop_requested{false};
// Apart, so that the first signal after request_interrupt() does not count as the second.
std::atomic<bool> signal_came{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int) {
  if (signal_came.exchange(true)) ::_exit(exit_interrupted);
  stop_requested.store(true);
}

}  // namespace

StopToken catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return interrupt_token();
}

void request_interrupt() { stop_requested.store(true); }

StopToken interrupt_token() {
  // Owns nothing: the flag lives as long as the process.
  return StopToken(std::shared_ptr<const std::atomic<bool>>(std::shared_ptr<void>(), &stop_requested));
}

}  // namespace lookback
