#include "generate/token_ids.h"

#include <iostream>
#include <iterator>
#include <limits>

#include "core/byte_order_mark.h"
#include "core/error.h"
#include "core/files.h"

namespace lookback {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

std::vector<std::int64_t> parse_sequence(const Json& list, const std::string& source) {
  require(list.is_array(), "{}: expected a list of token ids, found {}", source, list.type_name());
  std::vector<std::int64_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    require(id.is_number_integer(), "{}: token {} is no integer but {}", source, ids.size(),
            dump_line(id).substr(0, 40));
    require(!id.is_number_unsigned() || id.get<std::uint64_t>() <= largest, "{}: token {} has the id {}: too large",
            source, ids.size(), id.get<std::uint64_t>());
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

}  // namespace

std::vector<std::vector<std::int64_t>> parse_token_ids(const Json& value, const std::string& source) {
  if (value.is_object()) {
    require(value.contains("ids"), "{}: expected a list of token ids or an object with the field \"ids\"", source);
    return parse_token_ids(value.at("ids"), source);
  }
  require(value.is_array(), "{}: expected a list of token ids, found {}", source, value.type_name());
  std::vector<std::vector<std::int64_t>> sequences;
  if (value.empty() || !value.front().is_array()) {
    sequences.push_back(parse_sequence(value, source));
  } else {
    for (const Json& list : value) sequences.push_back(parse_sequence(list, source));
  }
  for (const auto& ids : sequences) {
    require(ids.size() == sequences.front().size(),
            "{}: the sequences of a batch must be equally long, found {} and {} tokens", source,
            sequences.front().size(), ids.size());
  }
  return sequences;
}

void decode_any(const Tokenizer& tokenizer, std::int64_t id, std::string& text) {
  if (id >= 0 && id < tokenizer.vocab_size()) tokenizer.decode(static_cast<std::int32_t>(id), text);
}

std::string read_file_or_stdin(const std::string& path) {
  const std::string content = path != "-" ? read_file(path) : std::string{std::istreambuf_iterator<char>(std::cin), {}};
  return std::string(without_byte_order_mark(content));
}

std::string input_name(const std::string& path) { return path == "-" ? "standard input" : path; }

}  // namespace lookback
