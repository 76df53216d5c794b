// What comes out of a text's continuation (lookback/generate.h) before it is said where chunks come from.
#pragma once

#include <cstdint>
#include <vector>

#include "lookback/generate.h"
#include "memory/chunk_archive.h"

namespace lookback {

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

// An answer whose `retrieved` is still to be made of `explanations`, by who knows the memories' documents.
struct GenerateResult : Answer {
  std::vector<Explanation> explanations;  // with GenerateConfig::explain
};

}  // namespace lookback
