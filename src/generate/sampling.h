// From a row of logits to a token id. The filters and their order are Hugging Face's: repetition penalty,
// temperature, top-k, top-p, min-p. A filter removes a token by setting its logit to -infinity.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "lookback/generate.h"

namespace lookback {

// Throws Error naming the first setting that is out of range.
void check_sampling_config(const SamplingConfig& config);

// Each in place, on logits [vocab_size]; tokens that are -infinity stay so.
// Positive logits of the ids in `seen_ids` (each once) are divided by `penalty`, negative ones multiplied.
void apply_repetition_penalty(std::span<float> logits, std::span<const std::int64_t> seen_ids, double penalty);
void apply_temperature(std::span<float> logits, double temperature);
void keep_top_k(std::span<float> logits, std::int64_t top_k);
// Among equally probable tokens the lower id stays. The best token always stays.
void keep_top_p(std::span<float> logits, double top_p);
void keep_min_p(std::span<float> logits, double min_p);

// The id with the largest logit, the lowest such id on ties. Throws Error when a logit is NaN or +infinity,
// or when all are -infinity (as draw_token does).
std::int64_t greedy_token(std::span<const float> logits);

// An id drawn with probability softmax(logits), by one draw of `random`.
std::int64_t draw_token(std::span<const float> logits, Random& random);

// The next token: all filters, then greedy_token or draw_token. Changes `logits`. Greedy draws nothing.
std::int64_t sample_token(std::span<float> logits, std::span<const std::int64_t> seen_ids, const SamplingConfig& config,
                          Random& random);

}  // namespace lookback
