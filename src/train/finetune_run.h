// Training runs that go on from a trained model, on needle tasks or on documents with their summaries.
#pragma once

#include <string>

#include "core/json.h"
#include "lookback/stop.h"
#include "train/training_run.h"

namespace lookback {

// Begins the run of `place` or goes on with it. given: sections of a run's configuration, [finetune] among them, which
// may be incomplete and go over those of the run that goes on, with an object in [train] and [data]; source: what
// messages call them. A new run needs the model that it starts from ([train] init) and its tasks; steps, learning rate,
// lengths and text_weight have defaults that follow these. Paths become absolute. Throws Error for a model without a
// tokenizer, for texts or pairs that are not there or too short, and as parse_run_config and run_training do.
TrainResult finetune(const RunPlace& place, Json given, const std::string& source, const RunListener& listener,
                     const StopToken& stop);

}  // namespace lookback
