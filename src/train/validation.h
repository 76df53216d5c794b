// Validation while training: the same windows of the validation text every time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/token_batch.h"
#include "models/model.h"
#include "train/trainer.h"

namespace lookback {

// A text as a stream of token ids: fills `out` with those from `begin` on.
struct TokenStream {
  std::int64_t num_tokens = 0;
  std::function<void(std::int64_t begin, std::span<std::int64_t> out)> read;
};

// `num_windows` windows of `context_length` tokens, spread evenly from the text's beginning to its end, in batches of
// at most `batch_size`. A text too short for one window gives one shorter window; one too short for so many gives
// fewer. Throws Error when there are fewer than two tokens.
std::vector<TokenBatch> validation_batches(const TokenStream& text, std::int64_t context_length,
                                           std::int64_t num_windows, std::int64_t batch_size);

// Mean loss over all labels of the batches.
ValidationResult validate(const Model& model, const std::vector<TokenBatch>& batches, at::ScalarType dtype);

}  // namespace lookback
