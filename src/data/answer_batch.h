// Batches of sequences that end with an answer, on which the loss lies.
#pragma once

#include <cstdint>
#include <vector>

#include "data/token_batch.h"

namespace lookback {

struct AnsweredSequence {
  std::vector<std::int64_t> ids;  // at least two
  std::int64_t answer_begin = 0;  // the answer is ids[answer_begin ...]; 1 <= answer_begin < ids.size()
};

// A row a sequence, less its last token, which predicts nothing; shorter ones are padded on the right with padding_id.
// The loss is the mean over the answers' tokens plus text_loss_weight times the mean over all tokens; with a weight of
// 0 only the answers' tokens are labels. answer_positions stays empty.
TokenBatch make_answer_batch(const std::vector<AnsweredSequence>& sequences, double text_loss_weight);

}  // namespace lookback
