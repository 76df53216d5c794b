#include "lookback/score.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"
#include "generate/inference_model.h"
#include "generate/score.h"
#include "ingest/open_memory.h"
#include "lookback/torch.h"

namespace lookback {

std::vector<float> score(const LanguageModel& model, const TensorView& ids, const Memories& memories,
                         const ScoreConfig& config) {
  require(ids.type == DataType::int64 && ids.shape.size() == 2 && ids.strides.size() == 2,
          "score: token ids are int64 [N, L], found {} dimensions{}", ids.shape.size(),
          ids.type == DataType::int64 ? "" : " of another type");
  require(ids.shape[0] >= 1 && ids.shape[1] >= 1, "score: the text is empty: there is nothing to score");
  const at::Tensor rows = tensor_of(ids).contiguous();
  model.check_token_ids({rows.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(rows.numel())}, "score");
  const at::Tensor logprobs = score_tokens(*model.opened().model, rows, config, memories.opened().set);
  const auto* values = logprobs.const_data_ptr<float>();
  return {values, values + logprobs.numel()};
}

ScoreSummary summarize_scores(std::span<const float> logprobs) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  ScoreSummary summary;
  std::vector<double> scored;
  for (const float logprob : logprobs) {
    if (!std::isnan(logprob)) scored.push_back(logprob);
  }
  summary.num_scored = std::ssize(scored);
  summary.total_nll = -at::tensor(scored, at::kDouble).sum().item<double>();
  summary.mean_nll = summary.num_scored > 0 ? summary.total_nll / static_cast<double>(summary.num_scored) : none;
  summary.perplexity = std::exp(summary.mean_nll);
  return summary;
}

double bits_per_byte(const ScoreSummary& summary, std::int64_t num_bytes) {
  if (summary.num_scored == 0 || num_bytes <= 0) return std::numeric_limits<double>::quiet_NaN();
  return summary.total_nll / std::numbers::ln2 / static_cast<double>(num_bytes);
}

}  // namespace lookback
