// Reading prompts: in segments, and only as far as their last tokens need it.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/stop.h"
#include "models/model.h"

namespace lookback {

struct PrefillOptions {
  std::int64_t segment_tokens = 4096;  // of each sequence, read in one step; rounded up to whole chunks
  // Called after each segment with the number of tokens read so far (of the longest); then `stop` is asked.
  std::function<void(std::int64_t)> on_progress;
  StopToken stop;
};

// What segments of a prompt are cut to: whole chunks, where the model has chunks.
std::int64_t whole_segment(std::int64_t segment_tokens, const ModelConfig& config);

// Appends ids[i] to *sequences[i], at least one token to each, and returns the hidden states of each one's last token
// [N, 1, d]. Throws Interrupted when asked to stop: then the sequences may read on, all that is left of their prompts,
// and no less.
at::Tensor prefill(const Model& model, std::span<Sequence* const> sequences,
                   std::span<const std::span<const std::int64_t>> ids, const PrefillOptions& options);

}  // namespace lookback
