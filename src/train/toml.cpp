#include "train/toml.h"

#include <fmt/core.h>
// What the parser asserts of a file does not hold of "[= 8", which it then refuses properly.
#define TOML_ASSERT(condition) static_assert(true)
#include <toml++/toml.h>

#include <cmath>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "core/files.h"

namespace lookback {
namespace {

Json to_json(const toml::node& node, const std::string& source) {
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = to_json(value, source);
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json values = Json::array();
    for (const toml::node& value : *array) values.push_back(to_json(value, source));
    return values;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  fail("{}: line {}: dates and times have no meaning here", source, node.source().begin.line);
}

std::string dump_value(const Json& value) {
  if (value.is_object()) {
    std::string text;
    for (const auto& [key, entry] : value.items()) {
      text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", key, dump_value(entry));
    }
    return "{" + text + "}";
  }
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return fmt::format("{}", value.get<double>());
  // TOML tells integers and floats apart by their look, as nlohmann's dump does; strings are escaped alike.
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (const Json& item : value) text += (text.empty() ? "" : ", ") + dump_value(item);
  return "[" + text + "]";
}

std::string dump_keys(const Json& table) {
  std::string text;
  for (const auto& [key, entry] : table.items()) {
    if (!entry.is_null()) text += fmt::format("{} = {}\n", key, dump_value(entry));
  }
  return text;
}

}  // namespace

Json parse_toml(const std::string& content, const std::string& source) {
  // Outside of strings and comments all is ASCII. The parser does not think of every other character there (U+3042), so
  // it first reads a text in which all of these are an ASCII character that may not stand there either.
  std::string ascii = content;
  for (char& byte : ascii) {
    if (static_cast<unsigned char>(byte) >= 0x80) byte = '?';
  }
  try {
    if (ascii != content) static_cast<void>(toml::parse(ascii, source));
    return to_json(toml::parse(content, source), source);
  } catch (const toml::parse_error& error) {
    fail("{}: line {}: not valid TOML: {}{}", source, error.source().begin.line, error.description(),
         ascii != content ? " (outside of quotes and comments only ASCII may stand)" : "");
  }
}

Json read_toml_file(const std::filesystem::path& path) { return parse_toml(read_file(path), path.string()); }

std::string dump_toml(const Json& value) {
  std::string text;
  for (const auto& [section, keys] : value.items()) {
    const std::vector<Json> tables = keys.is_array() ? keys.get<std::vector<Json>>() : std::vector<Json>{keys};
    const std::string header = (keys.is_array() ? "[[" : "[") + section + (keys.is_array() ? "]]" : "]");
    for (const Json& table : tables) {
      text += fmt::format("{}{}\n{}", text.empty() ? "" : "\n", header, dump_keys(table));
    }
  }
  return text;
}

}  // namespace lookback
