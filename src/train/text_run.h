// Training runs on prepared text.
#pragma once

#include <string>

#include "core/json.h"
#include "lookback/stop.h"
#include "train/training_run.h"

namespace lookback {

// Begins the run of `place` or goes on with it. given: sections of a run's configuration, which may be incomplete, and
// go over those of the run that goes on, with an object in each of [model], [train] and [data]; source: what messages
// call them. Throws Error as parse_run_config and run_training do, and for data that is not there, not of one
// tokenizer, or not that of the run that goes on.
TrainResult train_on_text(const RunPlace& place, const Json& given, const std::string& source,
                          const RunListener& listener, const StopToken& stop);

}  // namespace lookback
