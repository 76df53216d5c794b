#include "generate/score.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "core/error.h"
#include "models/log_likelihood.h"

namespace lookback {
namespace {

void report_progress(const ScoreConfig& config, std::int64_t num_tokens) {
  if (config.on_progress) config.on_progress(num_tokens);
  config.stop.throw_if_requested();
}

}  // namespace

at::Tensor score_tokens(const Model& model, const at::Tensor& input_ids, const ScoreConfig& config,
                        const std::shared_ptr<const MemorySet>& memories) {
  require(input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong, "input_ids: expected int64 [N, L]");
  require(input_ids.size(0) >= 1 && input_ids.size(1) >= 1, "the text is empty: there is nothing to score");
  require(config.segment_tokens >= 1, "segment-tokens {}: must be at least 1", config.segment_tokens);
  // All of them before the first is read.
  const at::Tensor host_ids = input_ids.to(at::kCPU).contiguous();
  check_in_vocabulary({host_ids.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(host_ids.numel())},
                      model.config().vocab_size, "input_ids");
  const at::NoGradGuard no_gradients;
  const at::ScalarType dtype = model.embedding().scalar_type();
  const std::int64_t length = input_ids.size(1);
  at::Tensor logprobs = at::full({input_ids.size(0), length}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);

  const auto score_hidden = [&](const at::Tensor& hidden, std::int64_t first) {
    const std::int64_t count = std::min(hidden.size(1), length - 1 - first);
    if (count < 1) return;
    const at::Tensor next_ids = host_ids.narrow(1, first + 1, count);
    logprobs.narrow(1, first + 1, count)
        .copy_(
            log_likelihood(model, hidden.narrow(1, 0, count).flatten(0, 1), next_ids.flatten()).view(next_ids.sizes()));
  };

  if (!config.incremental && memories == nullptr && input_ids.numel() <= config.whole_tokens) {
    ForwardOptions forward;
    forward.dtype = dtype;
    score_hidden(model.hidden_states(host_ids, forward), 0);
    report_progress(config, length);
  } else {
    std::vector<std::unique_ptr<Sequence>> sequences;
    for (std::int64_t n = 0; n < host_ids.size(0); ++n) {
      sequences.push_back(model.new_sequence(dtype));
      sequences.back()->attach(memories);
    }
    const std::int64_t step = config.incremental ? 1 : config.segment_tokens;
    for (std::int64_t first = 0; first < length; first += step) {
      const std::int64_t count = std::min(step, length - first);
      std::vector<Piece> pieces;
      for (std::int64_t n = 0; n < host_ids.size(0); ++n) {
        const std::int64_t* const row = host_ids.const_data_ptr<std::int64_t>() + n * length;
        pieces.push_back(
            {sequences[static_cast<std::size_t>(n)].get(), {row + first, static_cast<std::size_t>(count)}, 0});
      }
      score_hidden(model.step(pieces).unflatten(0, {host_ids.size(0), count}), first);
      report_progress(config, first + count);
    }
  }
  return logprobs;
}

}  // namespace lookback
