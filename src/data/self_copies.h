// Batches of texts that repeat themselves: what a model learns to copy through its memory from, before any text that
// repeats itself as seldom as texts do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/token_batch.h"
#include "data/token_dataset.h"

namespace lookback {

// Numbers of tokens, both ends among them.
struct TokenRange {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

struct SelfCopiesConfig {
  std::int64_t context_length = 0;  // tokens of a sequence
  std::int64_t batch_size = 1;      // sequences
  TokenRange length;                // of x
  TokenRange gap;                   // of what stands between x and its copy
  double copy_weight = 1;           // in the loss, of a token of the copy; all others weigh 1
  std::int64_t end_of_text_id = 0;
  std::uint64_t seed = 0;
};

// Endless batches of sequences x, gap, x, end of text, x', gap', x', ...: as many as fit, each of another length and
// gap, drawn evenly; the last one is cut where the sequence ends, so that no position is spent on padding and other
// copies stand between which to choose. Every token but a sequence's first is a label; the loss is the mean over them,
// by their weights. A batch depends on the arguments and its number only.
// x and gap are drawn evenly from `alphabet` here, so that nothing but copying can be learned. Throws Error without an
// alphabet and for lengths, sizes and weights that are out of range or do not fit into the context; restore() for
// another source's state.
std::unique_ptr<BatchSource> make_random_self_copies(const SelfCopiesConfig& config,
                                                     std::vector<std::int64_t> alphabet);

// The same with pieces of a text: x with what follows it as the gap, from any place of the stream. Throws Error for a
// dataset that is shorter than that, too.
std::unique_ptr<BatchSource> make_text_self_copies(const SelfCopiesConfig& config,
                                                   std::shared_ptr<const TokenDataset> dataset);

// Tokens of the longest x, gap, x.
std::int64_t longest_self_copy(const SelfCopiesConfig& config);

}  // namespace lookback
