#include "train/validation.h"

#include <algorithm>

#include "core/counted.h"
#include "core/error.h"
#include "train/batch_loss.h"

namespace lookback {

std::vector<TokenBatch> validation_batches(const TokenStream& text, std::int64_t context_length,
                                           std::int64_t num_windows, std::int64_t batch_size) {
  const std::int64_t num_predictions = text.num_tokens - 1;
  require(num_predictions >= 1, "the validation text has {}; at least 2 are needed", counted(text.num_tokens, "token"));
  const std::int64_t length = std::min(context_length, num_predictions);
  const std::int64_t count = std::min(num_windows, num_predictions / length);
  std::vector<TokenBatch> batches;
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(length) + 1);
  for (std::int64_t i = 0; i < count; ++i) {
    if (i % batch_size == 0) batches.emplace_back();
    TokenBatch& batch = batches.back();
    batch.length = length;
    const std::int64_t begin = count == 1 ? 0 : (num_predictions - length) / (count - 1) * i;
    text.read(begin, tokens);
    batch.input_ids.insert(batch.input_ids.end(), tokens.begin(), tokens.end() - 1);
    batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
    ++batch.num_sequences;
  }
  return batches;
}

ValidationResult validate(const Model& model, const std::vector<TokenBatch>& batches, at::ScalarType dtype) {
  LossSum total;
  for (const TokenBatch& batch : batches) total += evaluate_batch(model, batch, dtype);
  return {total.mean(), total.num_labels};
}

}  // namespace lookback
