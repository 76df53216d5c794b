// What is said while a model reads.
#pragma once

#include "core/progress.h"

namespace lookback {

// "reading the prompt: 12.3K of 1.2M tokens, ..." where that is due; ends the line once all is read.
void show_reading(ProgressLine& progress, double num_read, double num_tokens);

}  // namespace lookback
