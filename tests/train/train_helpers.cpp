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

ModelConfig tiny_drt() {
  ModelConfig config;
  config.kind = "drt";
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_heads = 2;
  config.num_kv_heads = 2;
  config.vocab_size = 33;
  config.landmark_id = 32;
  config.chunk_size = 8;
  config.top_k = 2;
  config.window_size = 12;
  config.num_encoder_layers = 1;
  config.decoder_layers = {1, 1, 1};
  return config;
}

ModelConfig tiny_sliding_window() {
  ModelConfig config = tiny_drt();
  config.kind = "sliding-window";
  config.vocab_size = 32;
  config.num_layers = 2;
  return config;
}

ModelConfig tiny_config(const std::string& kind) {
  ModelConfig config = tiny_sliding_window();
  config.kind = kind;
  config.memory_vectors = 3;
  config.retriever_size = 24;
  config.vocab_size = config.has_landmarks() ? 33 : 32;
  config.memory_layer = 1;
  config.state_size = 3;
  config.memory_size = 10;
  config.memory_top_k = 4;
  return config;
}

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
