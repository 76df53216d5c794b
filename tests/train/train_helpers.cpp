#include "train/train_helpers.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "core/error.h"

namespace lookback {
namespace {

// Models this small are no work for two threads, which would only wait for each other.
class OneThread : public testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};
const testing::Environment* const one_thread = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace

TokenBatch RandomBatches::next() {
  TokenBatch batch;
  batch.num_sequences = num_sequences_;
  batch.length = length_;
  for (std::int64_t i = 0; i < num_sequences_ * length_; ++i) {
    batch.input_ids.push_back(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(vocab_size_))));
    batch.labels.push_back(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(vocab_size_))));
  }
  return batch;
}

TemporaryFolder::TemporaryFolder() {
  static std::atomic<int> count{0};
  path_ = std::filesystem::temp_directory_path() /
          ("lookback_train_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
  std::filesystem::create_directories(path_);
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

}  // namespace lookback
