// What a training step reads, as plain arrays (this folder knows no tensors).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/json.h"

namespace lookback {

// The label of a position that predicts nothing.
inline constexpr std::int64_t ignored_label = -100;

// num_sequences sequences of `length` text tokens, row after row (landmarks are the model's business).
struct TokenBatch {
  std::int64_t num_sequences = 0;
  std::int64_t length = 0;
  std::vector<std::int64_t> input_ids;  // [num_sequences * length]
  std::vector<std::int64_t> labels;     // same size: the token that follows each position, or ignored_label
  // Empty: every label counts 1 / (number of labels). Otherwise the weight of each position's negative
  // log-likelihood in the loss, same size as labels; the loss is the weighted sum, not divided further.
  std::vector<float> loss_weights;
  // Positions (flat indices into labels) whose labels are an answer, for exact match; `answer_length` a group.
  std::vector<std::int64_t> answer_positions;
  std::int64_t answer_length = 0;
};

// An endless stream of batches that can be stopped and resumed exactly.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual TokenBatch next() = 0;
  // Whether batches follow from what observe() is told: none can be made before the one before it was measured.
  virtual bool listens() const { return false; }
  // What the loop measured on the batches of the step that next() gave last: the fraction of answers that were exact
  // (NaN when there were none). Told to sources that listen.
  virtual void observe(double exact_match) { static_cast<void>(exact_match); }
  // Everything that decides the batches to come, and back.
  virtual Json state() const = 0;
  virtual void restore(const Json& state) = 0;
};

}  // namespace lookback
