// Small models and batch sources for the tests of training.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/random.h"
#include "data/token_batch.h"
#include "models/model.h"
#include "models/tiny_config.h"

namespace lookback {

// Random tokens, from a generator that can be stopped and resumed.
class RandomBatches : public BatchSource {
 public:
  RandomBatches(std::int64_t num_sequences, std::int64_t length, std::int64_t vocab_size, std::uint64_t seed)
      : num_sequences_(num_sequences), length_(length), vocab_size_(vocab_size), random_(seed) {}
  TokenBatch next() override;
  Json state() const override { return {{"random", random_.state()}}; }
  void restore(const Json& state) override { random_ = Random::from_state(state.at("random").get<std::string>()); }

 private:
  std::int64_t num_sequences_, length_, vocab_size_;
  Random random_;
};

// A folder of its own under the system's temporary one, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The message of the Error that `work` throws; a test failure and "" when it throws none.
std::string error_of(const std::function<void()>& work);

}  // namespace lookback
