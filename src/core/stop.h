// Asking long work to stop: whoever starts it holds a StopSource, what runs is handed its token. (std::stop_source will
// not do: asking it takes a lock, which a signal handler must not.)
#pragma once

#include <atomic>
#include <memory>

namespace lookback {

// A question that long work asks between its steps, from any thread. Copies ask the same source.
class StopToken {
 public:
  // Nobody can ask this one to stop.
  StopToken() = default;
  // Asked once *flag is true, which it then stays. For flags that a StopSource does not own, such as a signal's.
  explicit StopToken(std::shared_ptr<const std::atomic<bool>> flag);

  bool stop_requested() const { return flag_ != nullptr && flag_->load(std::memory_order_acquire); }
  // Throws Interrupted (error.h) when a stop was requested.
  void throw_if_requested() const;

 private:
  std::shared_ptr<const std::atomic<bool>> flag_;
};

// Where a stop is requested. Copies are the same source; its tokens may outlive it.
class StopSource {
 public:
  StopSource();

  StopToken token() const { return StopToken(flag_); }
  // From any thread, any number of times.
  void request_stop() { flag_->store(true, std::memory_order_release); }
  bool stop_requested() const { return flag_->load(std::memory_order_acquire); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace lookback
