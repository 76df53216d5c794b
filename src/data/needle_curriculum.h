// The demo's training batches: generated text with needles and questions, growing longer as the model learns
// to answer. Without the stages a model this small does not learn to retrieve in the same number of steps.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/token_batch.h"

namespace lookback {

// Sequences of one length.
struct NeedleStage {
  std::int64_t num_chunks = 0;
  std::int64_t num_needles = 0;
  std::int64_t num_questions = 0;  // in pairs of chunks (question, answer) at the end
};

struct NeedleCurriculumConfig {
  std::int64_t chunk_size = 31;
  std::vector<NeedleStage> stages = {{6, 1, 2}, {8, 2, 2}, {12, 4, 3}, {16, 6, 5}};
  // The next stage begins when the running mean of observe() passes this; the mean then restarts at 0.
  double threshold = 0.6;
  double momentum = 0.9;
  // Sequences in a batch: chunks_per_batch / num_chunks, at least one.
  std::int64_t chunks_per_batch = 96;
  // The loss is the mean over answer tokens plus this times the mean over all tokens.
  double text_loss_weight = 0.5;
  std::uint64_t seed = 0;
  // If not empty: stage s begins with batch scheduled_starts[s] (0 for the first), whatever observe() says,
  // so that a second model reads exactly the batches of a first one.
  std::vector<std::int64_t> scheduled_starts = {};
};

// Token ids are bytes (the `bytes` tokenizer). Answers are five digits and `|`: all six count in the loss,
// the digits alone in answer_positions (answer_length 5).
class NeedleCurriculum : public BatchSource {
 public:
  // Throws Error when a stage has no room for its needles and questions.
  explicit NeedleCurriculum(NeedleCurriculumConfig config);

  TokenBatch next() override;
  bool listens() const override { return true; }
  void observe(double exact_match) override;
  Json state() const override;
  // Throws Error when `state` is not one of a curriculum with these stages and seed.
  void restore(const Json& state) override;

  // The batch (from 0) with which each stage so far began.
  const std::vector<std::int64_t>& stage_starts() const { return stage_starts_; }
  const NeedleStage& stage() const { return config_.stages[stage_starts_.size() - 1]; }

 private:
  bool stage_is_over() const;

  NeedleCurriculumConfig config_;
  std::vector<std::int64_t> haystack_;
  std::int64_t num_batches_ = 0;
  double mean_exact_match_ = 0;
  std::vector<std::int64_t> stage_starts_ = {0};
};

}  // namespace lookback
