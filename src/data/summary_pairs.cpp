#include "data/summary_pairs.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/json_lines.h"

namespace lookback {

std::vector<SummaryPair> read_summary_pairs(const std::filesystem::path& path, bool empty_summaries) {
  std::vector<SummaryPair> pairs;
  read_json_lines(path, [&](const Json& value, const std::string& source) {
    SummaryPair pair{json_field<std::string>(value, "document", source),
                     json_field<std::string>(value, "summary", source), source};
    require(!pair.document.empty(), "{}: the document is empty", source);
    require(empty_summaries || !pair.summary.empty(), "{}: the summary is empty", source);
    pairs.push_back(std::move(pair));
  });
  require(!pairs.empty(), "{}: holds no lines {{\"document\": ..., \"summary\": ...}}", path.string());
  return pairs;
}

std::vector<std::int64_t> summary_prompt(std::string_view document, std::int64_t most_tokens,
                                         const Tokenizer& tokenizer) {
  std::vector<std::int32_t> separator;
  tokenizer.encode_continuation(summary_separator, separator);
  const std::int64_t room = most_tokens - static_cast<std::int64_t>(separator.size());
  require(room >= 1, "{} tokens have no room for a document and the {} tokens that stand behind it", most_tokens,
          separator.size());
  std::vector<std::int32_t> ids;
  tokenizer.encode(document, ids);
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(room)));
  ids.insert(ids.end(), separator.begin(), separator.end());
  return {ids.begin(), ids.end()};
}

}  // namespace lookback
