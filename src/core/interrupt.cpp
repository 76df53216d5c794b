#include "core/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace lookback {
namespace {

std::atomic<bool> signal_came{false};
// Apart, so that the first signal after it does not count as the second.
std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int) {
  constexpr int exit_code_interrupted = 130;
  if (signal_came.exchange(true)) ::_exit(exit_code_interrupted);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void request_interrupt() { requested.store(true); }

bool interrupted() { return signal_came.load() || requested.load(); }

}  // namespace lookback
