#include "eval/haystack_needles.h"

#include <fmt/core.h>

#include "core/error.h"

namespace lookback {

void fit_to_model(NeedleEvaluationConfig& config, const InferenceModel& model) {
  const ModelConfig& of_model = model.model->config();
  config.dtype = model.dtype;
  if (config.task.chunk_size == 0) config.task.chunk_size = of_model.chunk_size;
  require(!of_model.has_landmarks() || config.task.chunk_size == of_model.chunk_size,
          "chunk size {}: this model's chunks have {} tokens", config.task.chunk_size, of_model.chunk_size);
  require(model.tokenizer != nullptr, "{}: has no tokenizer, with which the needles would be written",
          model.folder.string());
}

NeedleEvaluation evaluate_needles(const InferenceModel& model, const std::vector<std::int64_t>& haystack,
                                  const NeedleEvaluationConfig& config, ProgressLine& progress, const StopToken& stop) {
  const auto show = [&](double done, double total) {
    if (!progress.due()) return;
    const double seconds = progress.elapsed_seconds();
    progress.show(fmt::format("needle {}: {} of {} tokens, {} tokens/s, {} left", to_string(config.task.kind),
                              format_count(done), format_count(total), format_count(done / seconds),
                              eta_text(done, total, seconds)));
  };
  NeedleEvaluation evaluation = evaluate_needles(*model.model, *model.tokenizer, haystack, config, show, stop);
  progress.finish(evaluation.complete ? "" : "Interrupted: what follows covers the samples asked so far");
  return evaluation;
}

Json with_model(Json needles, const std::string& name, const InferenceModel& model) {
  needles["model"] = name;
  needles["top_k"] = model.model->config().top_k;
  return needles;
}

}  // namespace lookback
