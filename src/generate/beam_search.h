// Beam search: the texts of highest probability that a few candidates, kept at each step, lead to.
#pragma once

#include <memory>

#include "generate/decoder.h"

namespace lookback {

// Throws Error for settings that beam search does not take: sampling, explanations.
void check_beam_config(const GenerateConfig& config);

// Continues `text`, which has been read to its end and stays as it is. At each step the num_beams best continuations by
// log-probability stay; those that end are kept by their score, and the search is over when num_beams have ended and
// none that goes on has a better score than the worst of them (Hugging Face's rule with early_stopping=False), or after
// max_new_tokens. All must outlive it; the listener is told of the best text at the end.
std::unique_ptr<Decoder> make_beam_search(const Model& model, const Tokenizer* tokenizer, const Sequence& text,
                                          const GenerateConfig& config, const GenerateListener& listener);

}  // namespace lookback
