#include "text/tokenizer_choices.h"

#include <xxhash.h>

#include "core/error.h"
#include "core/json.h"

namespace lookback {
namespace {

constexpr const char* file_name = "tokenizer_choices.json";

bool has_none(const TokenizerChoices& choices) { return choices.end_of_text.empty() && !choices.no_special; }

Json to_json(const TokenizerChoices& choices) {
  return {{"end_of_text", choices.end_of_text}, {"no_special", choices.no_special}};
}

}  // namespace

TokenizerChoices read_tokenizer_choices(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / file_name;
  if (!std::filesystem::is_regular_file(path)) return {};
  const Json value = read_json_file(path);
  return {json_field_or<std::string>(value, "end_of_text", "", path.string()),
          json_field_or(value, "no_special", false, path.string())};
}

void write_tokenizer_choices(const std::filesystem::path& folder, const TokenizerChoices& choices) {
  if (has_none(choices)) {
    std::filesystem::remove(folder / file_name);
  } else {
    write_json_file(folder / file_name, to_json(choices));
  }
}

std::string tokenizer_fingerprint(const std::string& file_content, const TokenizerChoices& choices) {
  const std::string hashed = has_none(choices) ? file_content : file_content + "\n" + dump_line(to_json(choices));
  return fmt::format("{:016x}", XXH3_64bits(hashed.data(), hashed.size()));
}

}  // namespace lookback
