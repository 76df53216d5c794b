// Training batches of needle tasks, for models that are to learn to answer them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/needle_task.h"
#include "data/token_batch.h"

namespace lookback {

struct NeedleBatchesConfig {
  std::vector<NeedleTask> tasks;  // one of them is drawn for each batch, all as likely
  std::int64_t batch_size = 1;    // samples
  double text_loss_weight = 0;    // of all tokens, beside the answers (answer_batch.h)
  std::uint64_t seed = 0;
  bool held_out = false;  // other samples than those that the same seed trains on
};

// Endless batches; a batch depends on the configuration, the haystack and its number only. The answers are groups of
// answer_positions. `tokenizer` must outlive the source. Throws Error as NeedleGenerator does, without tasks, and for
// sizes below 1 and weights below 0; restore() for another run's state.
std::unique_ptr<BatchSource> make_needle_batches(NeedleBatchesConfig config, std::vector<std::int64_t> haystack,
                                                 const Tokenizer& tokenizer);

}  // namespace lookback
