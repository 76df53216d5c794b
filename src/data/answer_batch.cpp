#include "data/answer_batch.h"

#include <algorithm>

#include "core/error.h"
#include "data/corpus_batches.h"

namespace lookback {

TokenBatch make_answer_batch(const std::vector<AnsweredSequence>& sequences, double text_loss_weight) {
  TokenBatch batch;
  batch.num_sequences = static_cast<std::int64_t>(sequences.size());
  std::int64_t num_text_labels = 0;
  std::int64_t num_answer_labels = 0;
  for (const AnsweredSequence& sequence : sequences) {
    const auto size = static_cast<std::int64_t>(sequence.ids.size());
    require(sequence.answer_begin >= 1 && sequence.answer_begin < size,
            "answer batch: an answer from token {} on in a sequence of {}", sequence.answer_begin, size);
    batch.length = std::max(batch.length, size - 1);
    num_text_labels += size - 1;
    num_answer_labels += size - sequence.answer_begin;
  }
  const double text_weight = text_loss_weight / static_cast<double>(num_text_labels);
  const double answer_weight = text_weight + 1.0 / static_cast<double>(num_answer_labels);
  for (const AnsweredSequence& sequence : sequences) {
    const auto size = static_cast<std::int64_t>(sequence.ids.size());
    for (std::int64_t position = 0; position < batch.length; ++position) {
      const auto index = static_cast<std::size_t>(position);
      const bool is_text = position + 1 < size;
      const bool is_answer = is_text && position + 1 >= sequence.answer_begin;
      const bool is_label = is_answer || (is_text && text_loss_weight > 0);
      batch.input_ids.push_back(is_text ? sequence.ids[index] : padding_id);
      batch.labels.push_back(is_label ? sequence.ids[index + 1] : ignored_label);
      if (text_loss_weight > 0) {
        batch.loss_weights.push_back(static_cast<float>(is_answer ? answer_weight : is_text ? text_weight : 0));
      }
    }
  }
  return batch;
}

}  // namespace lookback
