// Summaries by a model, beside those that people wrote.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/stop.h"
#include "data/summary_pairs.h"
#include "generate/generator.h"
#include "generate/inference_model.h"

namespace lookback {

struct SummaryPrediction {
  std::string summary, prediction;  // the one given and the one to be judged by it
};

// Continues each pair's document, cut to most_tokens less generate.stop.max_new_tokens with the separator behind it
// (data/summary_pairs.h); 0: not cut. on_summary (may be empty) is called after each with the number done. Asked to
// stop, it ends with the summaries that are whole. Throws Error as generate and summary_prompt do.
std::vector<SummaryPrediction> predict_summaries(const InferenceModel& opened, const std::vector<SummaryPair>& pairs,
                                                 std::int64_t most_tokens, const GenerateConfig& generate_config,
                                                 const std::function<void(std::size_t num_done)>& on_summary,
                                                 const StopToken& stop = {});

// {"summary": "...", "prediction": "..."} a line, other fields are passed over, as predict_summaries' are written by
// write_predictions. An empty text on either side scores 0. Throws Error naming file and line.
std::vector<SummaryPrediction> read_predictions(const std::filesystem::path& path);
void write_predictions(const std::vector<SummaryPrediction>& predictions, const std::filesystem::path& path);

}  // namespace lookback
