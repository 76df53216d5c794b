// Continues prompts: reads them into a session in segments, then takes token by token.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generate/continuation.h"
#include "generate/sampling.h"
#include "generate/text_session.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

struct GenerateConfig {
  SamplingConfig sampling;
  StopRules stop;
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;            // of the seed's streams of draws: the first one taken
  std::int64_t num_beams = 1;          // more: beam search (generate/beam_search.h), which draws nothing
  double length_penalty = 1;           // of beam search
  std::int64_t segment_tokens = 4096;  // of the prompt read in one step; bounds the memory of reading
  at::ScalarType dtype = at::kFloat;   // of activations and chunk memory
  bool explain = false;                // keep what was retrieved for each chunk of new tokens
};

// Whom generate tells what; each may be empty.
struct GenerateListener {
  std::function<void(std::int64_t)> on_prompt_read;  // after each segment: prompt tokens read so far
  std::function<void(std::int64_t)> on_token;        // each new id
  std::function<void(std::string_view)> on_text;     // new text, whole UTF-8 characters only
  std::function<bool()> stop_asked;                  // asked after each segment and each token
};

// What a chunk of new tokens retrieved.
struct RetrievalSource {
  std::int64_t group = 0;  // upper group
  ArchivedChunk place;     // in the session's memories; behind them: of the text itself
  double weight = 0;
};

// What was at work from the new token `first_token` on, until the next of these.
struct Explanation {
  std::int64_t first_token = 0;
  std::vector<RetrievalSource> sources;  // by group, the weightiest first
};

// One of the texts that beam search ended with.
struct Hypothesis {
  std::vector<std::int64_t> ids;
  std::string text;
  StopReason stop_reason = StopReason::max_new_tokens;
  double log_probability = 0;  // of all ids, natural logarithm
  double score = 0;            // log_probability / (number of ids) ^ length_penalty
};

struct GenerateResult {
  std::vector<std::int64_t> ids;  // every new id, also a final end-of-text and those of a stop string
  std::string text;               // all that on_text got: without end-of-text and stop string; valid UTF-8
  StopReason stop_reason = StopReason::max_new_tokens;
  std::int64_t prompt_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // of the num_decode_steps model steps after the first token, and sampling
  std::int64_t num_decode_steps = 0;
  std::vector<Explanation> explanations;  // with config.explain
  std::vector<Hypothesis> hypotheses;     // of beam search, the best first; ids and text are its
  std::int64_t memory_bytes = 0;          // of the session at the end: what grows with the text ...
  std::int64_t window_bytes = 0;          // ... and what does not
};

// Throws Error naming `source` and the first id that is not a token of the model's text (out of range or the
// landmark).
void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source);

// Appends prompt_ids to the text (which must not stay empty; Error) and continues it; text.ids has the new ids, too.
// tokenizer: nullptr gives ids only. Throws Error "interrupted" when stop_asked while the prompt is read; later it ends
// with what there is.
GenerateResult generate(Model& model, const Tokenizer* tokenizer, TextSession& text,
                        const std::vector<std::int64_t>& prompt_ids, const GenerateConfig& config,
                        const GenerateListener& listener = {});

// The same for a prompt by itself.
GenerateResult generate(Model& model, const Tokenizer* tokenizer, const std::vector<std::int64_t>& prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener = {});

// Continues several prompts side by side, whatever their lengths; those that end early leave. Prompt i gets what it
// gets by itself with the stream of draws config.stream + i (greedy: what it gets by itself), so that a caller who
// numbers all its prompts may cut them into batches as it likes. Of the listener, on_prompt_read (of the longest) and
// stop_asked are asked.
std::vector<GenerateResult> generate_batch(Model& model, const Tokenizer* tokenizer,
                                           const std::vector<std::vector<std::int64_t>>& prompts,
                                           const std::vector<SearchedArchive>& memories, const GenerateConfig& config,
                                           const GenerateListener& listener = {});

}  // namespace lookback
