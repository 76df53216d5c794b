// Batches that are made while the step before them is computed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/json.h"
#include "data/token_batch.h"

namespace lookback {

// Another source's batches in their order, made by a thread of its own. next(), state(), restore() and finish() are
// called by one thread.
class BatchesAhead : public BatchSource {
 public:
  // At most num_ahead >= 1 batches wait to be given. The source must outlive this, must not listen (Error), and is left
  // alone by others until finish() or the destructor has returned.
  BatchesAhead(BatchSource& source, std::size_t num_ahead);
  // Ends the thread once the batch that it makes is done.
  ~BatchesAhead() override;
  BatchesAhead(const BatchesAhead&) = delete;
  BatchesAhead& operator=(const BatchesAhead&) = delete;

  // Rethrows what the source threw, after all batches before it; then so does every call.
  TokenBatch next() override;
  // The source's behind the batches that were given, whatever was made ahead of them.
  Json state() const override { return state_; }
  void restore(const Json& state) override;
  // Ends the thread, and puts the source where the batches that were given leave it.
  void finish();

 private:
  struct Made {
    TokenBatch batch;
    Json state;                // of the source behind it
    std::exception_ptr error;  // in place of both
  };

  void start();
  void stop();
  void make();

  BatchSource& source_;
  const std::size_t num_ahead_;
  Json state_;

  std::mutex mutex_;  // guards what follows, up to the thread
  std::condition_variable changed_;
  std::deque<Made> made_;
  bool stopped_ = false;

  std::thread thread_;
};

}  // namespace lookback
