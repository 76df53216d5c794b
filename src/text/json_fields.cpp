#include "text/json_fields.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "text/utf8.h"

namespace lookback {
namespace {

void flatten(const LookupJson& value, const std::string& list, const std::string& source, int depth,
             std::vector<LookupJson>& components) {
  constexpr int deepest = 16;
  require(depth < deepest, "{}: Sequences are nested more than {} deep", source, deepest);
  if (component_type(value, source) != "Sequence") {
    components.push_back(value);
    return;
  }
  check_fields(value, {list.c_str()}, source + ": Sequence");
  const auto parts = json_field<LookupJson>(value, list, source);
  require(parts.is_array(), "{}: Sequence: {}: expected a list", source, list);
  for (const LookupJson& part : parts) flatten(part, list, source, depth + 1, components);
}

}  // namespace

std::string component_type(const LookupJson& value, const std::string& source) {
  require(value.is_object(), "{}: expected an object with a field \"type\"", source);
  return json_field<std::string>(value, "type", source);
}

void check_fields(const LookupJson& value, std::initializer_list<const char*> known, const std::string& source) {
  for (const auto& [key, field] : value.items()) {
    const bool is_known =
        key == "type" || std::ranges::any_of(known, [&key = key](const char* name) { return key == name; });
    require(is_known, "{}: the field \"{}\" is not supported", source, key);
  }
}

std::vector<LookupJson> flattened_components(const LookupJson& value, const std::string& list,
                                             const std::string& source) {
  std::vector<LookupJson> components;
  if (!value.is_null()) flatten(value, list, source, 0, components);
  return components;
}

Regex pattern_field(const LookupJson& value, const std::string& source) {
  const auto pattern = json_field<LookupJson>(value, "pattern", source);
  require(pattern.is_object() && pattern.size() == 1 && (pattern.contains("String") || pattern.contains("Regex")),
          "{}: pattern: expected {{\"String\": ...}} or {{\"Regex\": ...}}", source);
  if (pattern.contains("Regex")) return {json_field<std::string>(pattern, "Regex", source + ": pattern"), source};
  return {escaped_pattern(json_field<std::string>(pattern, "String", source + ": pattern")), source};
}

std::string character_field(const LookupJson& value, const std::string& key, const std::string& source) {
  const auto text = json_field<std::string>(value, key, source);
  require(!text.empty() && utf8_character_size(text) == text.size(), "{}: {}: expected one character, found \"{}\"",
          source, key, text);
  return text;
}

}  // namespace lookback
