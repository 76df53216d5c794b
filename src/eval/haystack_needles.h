// Needles in texts that a model reads anew for each: those of needle.h, asked of a model folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "eval/needle.h"
#include "generate/inference_model.h"
#include "lookback/stop.h"

namespace lookback {

// Makes the configuration fit the model: elements of its type, and its chunks where task.chunk_size is 0. Throws Error
// for another chunk size than that of a model with chunks, and for a model without a tokenizer.
void fit_to_model(NeedleEvaluationConfig& config, const InferenceModel& model);

// As evaluate_needles does, on a haystack of the model's tokens.
NeedleEvaluation evaluate_needles(const InferenceModel& model, const std::vector<std::int64_t>& haystack,
                                  const NeedleEvaluationConfig& config, ProgressLine& progress, const StopToken& stop);

// Adds to what to_json gives what it does not know. name: the model's, as it was given.
Json with_model(Json needles, const std::string& name, const InferenceModel& model);

}  // namespace lookback
