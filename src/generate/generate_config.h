// How a text is to be continued, whom to tell, and what comes out.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/stop.h"
#include "generate/continuation.h"
#include "generate/sampling.h"
#include "memory/chunk_archive.h"

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
  // Asked after each step: a segment of the prompt, or a token. The prompt's last segment gives the first token.
  StopToken stop;
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

}  // namespace lookback
