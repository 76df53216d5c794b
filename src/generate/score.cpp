#include "generate/score.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

constexpr std::int64_t max_block_bytes = std::int64_t{64} << 20U;

// hidden [N, T, d] and the tokens that follow each position [N, T] -> their log-probabilities [N, T] on the
// CPU.
at::Tensor next_token_logprobs(const Model& model, const at::Tensor& hidden, const at::Tensor& next_ids) {
  const at::Tensor rows = hidden.flatten(0, 1);
  const at::Tensor labels = next_ids.to(hidden.device()).flatten();
  const std::int64_t row_bytes = model.config().vocab_size * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t block_rows = std::max<std::int64_t>(1, max_block_bytes / row_bytes);
  std::vector<at::Tensor> blocks;
  for (std::int64_t first = 0; first < rows.size(0); first += block_rows) {
    const std::int64_t count = std::min(block_rows, rows.size(0) - first);
    const at::Tensor logits = model.logits(rows.narrow(0, first, count));
    const at::Tensor chosen = logits.gather(1, labels.narrow(0, first, count).unsqueeze(1)).squeeze(1);
    blocks.push_back((chosen - logits.logsumexp(1)).to(at::kCPU));
  }
  return at::cat(blocks).view(next_ids.sizes());
}

void report_progress(const ScoreOptions& options, std::int64_t num_tokens) {
  if (options.on_progress) options.on_progress(num_tokens);
  options.stop.throw_if_requested();
}

}  // namespace

at::Tensor score_tokens(const Model& model, const at::Tensor& input_ids, const ScoreOptions& options) {
  require(input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong, "input_ids: expected int64 [N, L]");
  require(input_ids.size(0) >= 1 && input_ids.size(1) >= 1, "the text is empty: there is nothing to score");
  require(options.segment_tokens >= 1, "segment-tokens {}: must be at least 1", options.segment_tokens);
  const at::NoGradGuard no_gradients;
  const std::int64_t length = input_ids.size(1);
  at::Tensor logprobs = at::full({input_ids.size(0), length}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);

  // The last token predicts nothing that is scored, but it is read all the same: it may be out of range.
  const at::Device device = model.parameters().device();
  const auto score_hidden = [&](const at::Tensor& hidden, std::int64_t first) {
    const std::int64_t count = std::min(hidden.size(1), length - 1 - first);
    if (count < 1) return;
    logprobs.narrow(1, first + 1, count)
        .copy_(next_token_logprobs(model, hidden.narrow(1, 0, count), input_ids.narrow(1, first + 1, count)));
  };

  if (!options.incremental && options.memories == nullptr && input_ids.numel() <= options.whole_tokens) {
    ForwardOptions forward;
    forward.dtype = options.dtype;
    score_hidden(model.hidden_states(input_ids.to(device), forward), 0);
    report_progress(options, length);
  } else {
    const at::Tensor ids = input_ids.to(at::kCPU).contiguous();
    std::vector<std::unique_ptr<Sequence>> sequences;
    for (std::int64_t n = 0; n < ids.size(0); ++n) {
      sequences.push_back(model.new_sequence(options.dtype));
      sequences.back()->attach(options.memories);
    }
    const std::int64_t step = options.incremental ? 1 : options.segment_tokens;
    for (std::int64_t first = 0; first < length; first += step) {
      const std::int64_t count = std::min(step, length - first);
      std::vector<Piece> pieces;
      for (std::int64_t n = 0; n < ids.size(0); ++n) {
        const std::int64_t* const row = ids.const_data_ptr<std::int64_t>() + n * length;
        pieces.push_back(
            {sequences[static_cast<std::size_t>(n)].get(), {row + first, static_cast<std::size_t>(count)}, 0});
      }
      score_hidden(model.step(pieces).unflatten(0, {ids.size(0), count}), first);
      report_progress(options, first + count);
    }
  }
  require(length == 1 || logprobs.narrow(1, 1, length - 1).isfinite().all().item<bool>(),
          "the model's logits hold NaN or infinity: its weights are broken");
  return logprobs;
}

ScoreSummary summarize_scores(const at::Tensor& logprobs) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  ScoreSummary summary;
  const at::Tensor scored = logprobs.masked_select(logprobs.isnan().logical_not()).to(at::kDouble);
  summary.num_scored = scored.numel();
  summary.total_nll = -scored.sum().item<double>();
  summary.mean_nll = summary.num_scored > 0 ? summary.total_nll / static_cast<double>(summary.num_scored) : none;
  summary.perplexity = std::exp(summary.mean_nll);
  return summary;
}

double bits_per_byte(const ScoreSummary& summary, std::int64_t num_bytes) {
  if (summary.num_scored == 0 || num_bytes <= 0) return std::numeric_limits<double>::quiet_NaN();
  return summary.total_nll / std::numbers::ln2 / static_cast<double>(num_bytes);
}

}  // namespace lookback
