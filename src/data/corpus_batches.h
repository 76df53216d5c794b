// Training batches cut from a dataset's token stream.
#pragma once

#include <cstdint>
#include <memory>

#include "data/token_batch.h"
#include "data/token_dataset.h"

namespace lookback {

// The id on positions that hold no text (only where the whole dataset is shorter than one sequence).
inline constexpr std::int64_t padding_id = -1;

// Endless batches of `batch_size` sequences of `context_length` tokens; documents follow each other in the
// stream, an end-of-text token between them. In each epoch the stream is cut at another random offset, the
// windows come in another random order, and every token but the stream's first is the label of exactly one
// position: the windows at both ends overlap their neighbours, with the labels that those count ignored. A
// dataset below context_length + 1 tokens gives one window, padded on the right with padding_id and ignored
// labels. An epoch's end may lie inside a batch. The same arguments give the same batches.
// Throws Error for sizes below 1 and datasets below two tokens; restore() for another run's state.
std::unique_ptr<BatchSource> make_corpus_batches(std::shared_ptr<const TokenDataset> dataset,
                                                 std::int64_t context_length, std::int64_t batch_size,
                                                 std::uint64_t seed);

}  // namespace lookback
