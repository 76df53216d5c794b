// Continues prompts, by an engine of their own (generate/engine.h).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "generate/generate_config.h"
#include "generate/text_session.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// Throws Error naming `source` and the first id that is not a token of the model's text (out of range or the
// landmark).
void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source);

// Appends prompt_ids to the text (which must not stay empty; Error) and continues it; text.ids has the new ids, too.
// tokenizer: nullptr gives ids only. Throws Interrupted when asked to stop while the prompt is read; later it ends with
// what there is.
GenerateResult generate(const Model& model, const Tokenizer* tokenizer, TextSession& text,
                        const std::vector<std::int64_t>& prompt_ids, const GenerateConfig& config,
                        const GenerateListener& listener = {});

// The same for a prompt by itself.
GenerateResult generate(const Model& model, const Tokenizer* tokenizer, const std::vector<std::int64_t>& prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener = {});

// Continues several prompts side by side, whatever their lengths, at most max_running at a time. Prompt i gets what it
// gets by itself with the stream of draws config.stream + i (greedy: what it gets by itself). on_finished is called
// with i and its result in the order in which they end; not for those that listener.stop left unread. Of the listener,
// stop alone is asked.
void generate_all(const Model& model, const Tokenizer* tokenizer, const std::vector<std::vector<std::int64_t>>& prompts,
                  const std::shared_ptr<const MemorySet>& memories, const GenerateConfig& config,
                  std::size_t max_running, const GenerateListener& listener,
                  const std::function<void(std::size_t, GenerateResult)>& on_finished);

}  // namespace lookback
