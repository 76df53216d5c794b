// What `generate` prints of its results, for people and for programs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "generate/generator.h"
#include "generate/inference_model.h"
#include "memory/stored_memory.h"

namespace lookback {

Json to_json(const GenerateResult& result, bool with_text);

// Where what was retrieved comes from, and what it says: result.explanations as JSON. memories: the session's;
// text_ids: the session's text.
Json explain(const GenerateResult& result, std::span<const std::shared_ptr<const StoredMemory>> memories,
             std::span<const std::int64_t> text_ids, const InferenceModel& opened);
// The same for people.
std::string explanation_text(const Json& chunks);
// The texts that beam search ended with, for people; nothing without any.
std::string hypotheses_text(const GenerateResult& result);

// "12.3K tokens/s"; "-" where nothing was done.
std::string rate_text(double count, double seconds);
// One line.
std::string summary(const GenerateResult& result);

}  // namespace lookback
