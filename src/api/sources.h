// From what the engine kept of retrievals to where the chunks come from and what they say.
#pragma once

#include <cstdint>
#include <span>

#include "generate/generate_result.h"
#include "lookback/generate.h"
#include "lookback/language_model.h"
#include "lookback/memories.h"

namespace lookback {

// The answer with `retrieved` filled from result.explanations. memories: those that its session retrieves from;
// text_ids: the session's whole text.
Answer with_sources(GenerateResult result, const LanguageModel& model, const Memories& memories,
                    std::span<const std::int64_t> text_ids);

}  // namespace lookback
