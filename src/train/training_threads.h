// How many threads a training step is worth.
#pragma once

#include "train/run_config.h"

namespace lookback {

// The threads of a run that names none: default_threads() (ops/parallel.h), but fewer where a layer's products over one
// batch, of the stage with the largest, are so small that waking a thread takes as long as its part of them; models as
// small as the tests' are fastest on one.
int training_threads(const RunConfig& config);

}  // namespace lookback
