// Documents and their summaries, and how a model is asked for one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace lookback {

struct SummaryPair {
  std::string document, summary;
  std::string source = {};  // "FILE, line 3", for errors
};

// {"document": "...", "summary": "..."} a line, other fields are passed over; compressed by name (json_lines.h). An
// empty summary is nothing to train on, but a reference that nothing matches (empty_summaries: allowed). Throws Error
// naming file and line: not such an object, an empty document or summary; naming the file when it holds none.
std::vector<SummaryPair> read_summary_pairs(const std::filesystem::path& path, bool empty_summaries = false);

// Stands between a document and its summary.
inline constexpr std::string_view summary_separator = "\n\nTL;DR:\n";

// The document's first tokens and the separator's, most_tokens in all at most. Throws Error when that leaves no room
// for a token of the document.
std::vector<std::int64_t> summary_prompt(std::string_view document, std::int64_t most_tokens,
                                         const Tokenizer& tokenizer);

}  // namespace lookback
