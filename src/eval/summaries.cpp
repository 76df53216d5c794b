#include "eval/summaries.h"

#include <limits>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "data/json_lines.h"

namespace lookback {

std::vector<SummaryPrediction> predict_summaries(const InferenceModel& opened, const std::vector<SummaryPair>& pairs,
                                                 std::int64_t most_tokens, const GenerateConfig& generate_config,
                                                 const std::function<void(std::size_t num_done)>& on_summary,
                                                 const StopToken& stop) {
  const std::int64_t most_prompt_tokens =
      most_tokens == 0 ? std::numeric_limits<std::int64_t>::max() : most_tokens - generate_config.stop.max_new_tokens;
  std::vector<SummaryPrediction> predictions;
  for (const SummaryPair& pair : pairs) {
    const std::vector<std::int64_t> prompt = summary_prompt(pair.document, most_prompt_tokens, *opened.tokenizer);
    GenerateResult result = generate(*opened.model, opened.tokenizer.get(), prompt, generate_config);
    predictions.push_back({pair.summary, std::move(result.text)});
    if (on_summary) on_summary(predictions.size());
    if (stop.stop_requested()) break;
  }
  return predictions;
}

std::vector<SummaryPrediction> read_predictions(const std::filesystem::path& path) {
  std::vector<SummaryPrediction> predictions;
  read_json_lines(path, [&](const Json& value, const std::string& source) {
    predictions.push_back(
        {json_field<std::string>(value, "summary", source), json_field<std::string>(value, "prediction", source)});
  });
  require(!predictions.empty(), "{}: holds no lines {{\"summary\": ..., \"prediction\": ...}}", path.string());
  return predictions;
}

void write_predictions(const std::vector<SummaryPrediction>& predictions, const std::filesystem::path& path) {
  std::string lines;
  for (const SummaryPrediction& one : predictions) {
    lines += dump_line({{"summary", one.summary}, {"prediction", one.prediction}}) + "\n";
  }
  write_file_atomic(path, lines);
}

}  // namespace lookback
