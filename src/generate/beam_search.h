// Beam search: the texts of highest probability that a few candidates, kept at each step, lead to.
#pragma once

#include <ATen/ATen.h>

#include "generate/generator.h"

namespace lookback {

// Throws Error for settings that beam search does not take: sampling, explanations.
void check_beam_config(const GenerateConfig& config);

// Continues the session's one sequence, whose last token's hidden states are `hidden` [1, 1, d]. At each step the
// num_beams best continuations by log-probability stay; those that end are kept by their score, and the search is over
// when num_beams have ended and none that goes on has a better score than the worst of them (Hugging Face's rule with
// early_stopping=False), or after max_new_tokens. The session is as before on return: it has not read the new ids.
GenerateResult beam_search(const Model& model, const Tokenizer* tokenizer, Session& session, const at::Tensor& hidden,
                           const GenerateConfig& config, const GenerateListener& listener);

}  // namespace lookback
