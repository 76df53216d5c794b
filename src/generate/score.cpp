#include "generate/score.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <memory>
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
  // A model on a GPU does not check what it is given.
  const at::Tensor host_ids = input_ids.to(at::kCPU).contiguous();
  check_in_vocabulary({host_ids.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(host_ids.numel())},
                      model.config().vocab_size, "input_ids");
  const at::NoGradGuard no_gradients;
  const at::ScalarType dtype = model.embedding().scalar_type();
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

  if (!config.incremental && memories == nullptr && input_ids.numel() <= config.whole_tokens) {
    ForwardOptions forward;
    forward.dtype = dtype;
    score_hidden(model.hidden_states(input_ids.to(device), forward), 0);
    report_progress(config, length);
  } else {
    const at::Tensor ids = input_ids.to(at::kCPU).contiguous();
    std::vector<std::unique_ptr<Sequence>> sequences;
    for (std::int64_t n = 0; n < ids.size(0); ++n) {
      sequences.push_back(model.new_sequence(dtype));
      sequences.back()->attach(memories);
    }
    const std::int64_t step = config.incremental ? 1 : config.segment_tokens;
    for (std::int64_t first = 0; first < length; first += step) {
      const std::int64_t count = std::min(step, length - first);
      std::vector<Piece> pieces;
      for (std::int64_t n = 0; n < ids.size(0); ++n) {
        const std::int64_t* const row = ids.const_data_ptr<std::int64_t>() + n * length;
        pieces.push_back(
            {sequences[static_cast<std::size_t>(n)].get(), {row + first, static_cast<std::size_t>(count)}, 0});
      }
      score_hidden(model.step(pieces).unflatten(0, {ids.size(0), count}), first);
      report_progress(config, first + count);
    }
  }
  require(length == 1 || logprobs.narrow(1, 1, length - 1).isfinite().all().item<bool>(),
          "the model's logits hold NaN or infinity: its weights are broken");
  return logprobs;
}

}  // namespace lookback
