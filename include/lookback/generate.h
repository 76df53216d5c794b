// How a text is to be continued, whom to tell, and what comes out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lookback/export.h"
#include "lookback/stop.h"

namespace lookback {

// How a token is chosen. The filters apply in the order in which they stand here, after the repetition penalty.
struct SamplingConfig {
  bool greedy = false;              // the most probable token; of the settings below only the penalty counts
  double temperature = 1.0;         // > 0; logits are divided by it
  std::int64_t top_k = 0;           // keep the k most probable tokens and ties with the last; 0: all
  double top_p = 1.0;               // keep the fewest tokens whose probabilities reach p together; 1: all
  double min_p = 0.0;               // keep tokens at least min_p times as probable as the best; 0: all
  double repetition_penalty = 1.0;  // > 1: tokens that are already in the text become less probable
};

// When new tokens end.
struct StopRules {
  std::int64_t max_new_tokens = 128;
  std::vector<std::string> stop_strings;  // need a tokenizer
  bool stop_at_end_of_text = true;        // with a tokenizer
};

struct GenerateConfig {
  SamplingConfig sampling;
  StopRules stop;
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;            // of the seed's streams of draws: the first one taken
  std::int64_t num_beams = 1;          // more: beam search, which draws nothing
  double length_penalty = 1;           // of beam search
  std::int64_t segment_tokens = 4096;  // of the prompt read in one step; bounds the memory of reading
  bool explain = false;                // keep what was retrieved for each chunk of new tokens
};

// Whom to tell what; each may be empty. Called by the thread that asks for the text; what a callback throws ends the
// call that it came from.
struct GenerateListener {
  std::function<void(std::int64_t)> on_prompt_read;  // after each segment: prompt tokens read so far
  std::function<void(std::int64_t)> on_token;        // each new id
  std::function<void(std::string_view)> on_text;     // new text, whole UTF-8 characters only
  // Asked after each step: a segment of the prompt, or a token. The prompt's last segment gives the first token.
  StopToken stop;
};

enum class StopReason { max_new_tokens, end_of_text, stop_string, interrupted };

// "max_new_tokens", "end_of_text", ...
LOOKBACK_API std::string_view stop_reason_name(StopReason reason);

// One of the texts that beam search ended with.
struct Hypothesis {
  std::vector<std::int64_t> ids;
  std::string text;
  StopReason stop_reason = StopReason::max_new_tokens;
  double log_probability = 0;  // of all ids, natural logarithm
  double score = 0;            // log_probability / (number of ids) ^ length_penalty
};

// A chunk of earlier text that the model retrieved.
struct Source {
  std::int64_t group = 0;        // the group of upper layers that shares this retrieval
  double weight = 0;             // of the chunk among those that the group retrieved
  std::string memory;            // the memory's file; empty: the session's own text, and so is `document`
  std::string document;          // its name there
  std::int64_t chunk = 0;        // counted from the beginning of the document, or of the session's text
  std::uint64_t text_begin = 0;  // of the chunk's text in that of the document, in bytes; 0 of the session's own
  std::string text;              // of the chunk; without a tokenizer its ids, with blanks between them
};

// What was at work from the new token `first_token` on, until the next of these.
struct RetrievedSources {
  std::int64_t first_token = 0;
  std::vector<Source> sources;  // by group, the weightiest first
};

struct Answer {
  std::vector<std::int64_t> ids;  // every new id, also a final end-of-text and those of a stop string
  std::string text;               // all that on_text got: without end-of-text and stop string; valid UTF-8
  StopReason stop_reason = StopReason::max_new_tokens;
  std::vector<RetrievedSources> retrieved;  // with GenerateConfig::explain
  std::vector<Hypothesis> hypotheses;       // of beam search, the best first; ids and text are its
  std::int64_t prompt_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // of the num_decode_steps model steps after the first token, and sampling
  std::int64_t num_decode_steps = 0;
  std::int64_t memory_bytes = 0;  // of the session at the end: what grows with the text ...
  std::int64_t window_bytes = 0;  // ... and what does not
};

}  // namespace lookback
