// The batches of a run that has stages.
#pragma once

#include <memory>

#include "data/token_batch.h"
#include "data/token_dataset.h"
#include "text/tokenizer.h"
#include "train/run_config.h"

namespace lookback {

// What config.stages say, of the run's text and its tokenizer, which must outlive the source. Throws Error naming the
// stage for what cannot be made of them, as needles that find no room in its length.
std::unique_ptr<BatchSource> make_stage_batches(const RunConfig& config,
                                                const std::shared_ptr<const TokenDataset>& text,
                                                const Tokenizer& tokenizer);

}  // namespace lookback
