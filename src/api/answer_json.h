// Answers for machines.
#pragma once

#include <vector>

#include "core/json.h"
#include "lookback/generate.h"

namespace lookback {

// Ids, text (null without with_text), why it ended, tokens, seconds, tokens per second, bytes, beams.
Json to_json(const Answer& answer, bool with_text);
Json to_json(const std::vector<RetrievedSources>& retrieved);

}  // namespace lookback
