// Continues a prompt: reads it into a session in segments, then samples token by token.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generate/sampling.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

struct GenerateConfig {
  SamplingConfig sampling;
  std::uint64_t seed = 0;
  std::int64_t max_new_tokens = 128;
  std::vector<std::string> stop_strings;  // need a tokenizer
  bool stop_at_end_of_text = true;        // with a tokenizer
  std::int64_t segment_tokens = 4096;     // of the prompt read in one step; bounds the memory of reading
  at::ScalarType dtype = at::kFloat;      // of activations and chunk memory
  bool explain = false;                   // keep what was retrieved for each chunk of new tokens
  std::vector<std::shared_ptr<const ChunkArchive>> memories;  // to retrieve from, as if they came before the prompt
};

enum class StopReason { max_new_tokens, end_of_text, stop_string, interrupted };

// "max_new_tokens", "end_of_text", ...
std::string_view stop_reason_name(StopReason reason);

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
  ArchivedChunk place;     // in config.memories; behind them: of the prompt and the new tokens themselves
  double weight = 0;
};

// What was at work from the new token `first_token` on, until the next of these.
struct Explanation {
  std::int64_t first_token = 0;
  std::vector<RetrievalSource> sources;  // by group, the weightiest first
};

struct GenerateResult {
  std::vector<std::int64_t> ids;  // every sampled id, also a final end-of-text and those of a stop string
  std::string text;               // all that on_text got: without end-of-text and stop string; valid UTF-8
  StopReason stop_reason = StopReason::max_new_tokens;
  std::int64_t prompt_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // of the num_decode_steps model steps after the first token, and sampling
  std::int64_t num_decode_steps = 0;
  std::vector<Explanation> explanations;  // with config.explain
  std::int64_t memory_bytes = 0;          // of the session at the end: what grows with the text ...
  std::int64_t window_bytes = 0;          // ... and what does not
};

// Ids that must never be sampled: a DRT's landmark, and rows of the embedding that no token of the tokenizer
// (nullptr: none) has.
std::vector<std::int64_t> forbidden_ids(const ModelConfig& config, const Tokenizer* tokenizer);

// Throws Error naming `source` and the first id that is not a token of the model's text (out of range or the
// landmark).
void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source);

// Continues prompt_ids (at least one; Error otherwise). tokenizer: nullptr gives ids only. Throws Error
// "interrupted" when stop_asked while the prompt is read; later it ends with what there is.
GenerateResult generate(Model& model, const Tokenizer* tokenizer, std::span<const std::int64_t> prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener = {});

}  // namespace lookback
