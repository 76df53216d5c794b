#include "data/batches_ahead.h"

#include <utility>

#include "core/error.h"

namespace lookback {

BatchesAhead::BatchesAhead(BatchSource& source, std::size_t num_ahead)
    : source_(source), num_ahead_(num_ahead), state_(source.state()) {
  require(num_ahead >= 1, "batches ahead: expected at least 1, found {}", num_ahead);
  require(!source.listens(), "batches ahead: those of a source that listens follow from what is measured on them");
}

BatchesAhead::~BatchesAhead() { stop(); }

void BatchesAhead::start() {
  stopped_ = false;
  thread_ = std::thread([this] { make(); });
}

void BatchesAhead::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  made_.clear();
}

void BatchesAhead::make() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || made_.size() < num_ahead_; });
      if (stopped_) return;
    }
    Made made;
    try {
      made.batch = source_.next();
      made.state = source_.state();
    } catch (...) {
      made.error = std::current_exception();
    }
    const bool failed = made.error != nullptr;
    {
      const std::lock_guard lock(mutex_);
      made_.push_back(std::move(made));
    }
    changed_.notify_all();
    if (failed) return;
  }
}

TokenBatch BatchesAhead::next() {
  if (!thread_.joinable()) start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !made_.empty(); });
  // A failure stays in its place.
  if (made_.front().error) std::rethrow_exception(made_.front().error);
  Made made = std::move(made_.front());
  made_.pop_front();
  lock.unlock();
  changed_.notify_all();
  state_ = std::move(made.state);
  return std::move(made.batch);
}

void BatchesAhead::restore(const Json& state) {
  stop();
  source_.restore(state);
  state_ = source_.state();
}

void BatchesAhead::finish() { restore(state_); }

}  // namespace lookback
