#include "core/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"

namespace lookback {

namespace {

// `byte` of text, counted from 1, for a person.
std::string place_of(std::size_t byte, std::string_view text) {
  const std::string_view before = text.substr(0, std::min(byte, text.size() + 1) - 1);
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 = 0
  const std::size_t column = before.size() - line_begin + 1;
  if (text.find('\n') == std::string_view::npos) return fmt::format("at byte {} of the line", column);
  return fmt::format("at line {}, byte {}", std::count(before.begin(), before.end(), '\n') + 1, column);
}

template <typename AnyJson>
std::string parse(std::string_view text, AnyJson& value) {
  try {
    value = AnyJson::parse(text);
    return "";
  } catch (const nlohmann::json::parse_error& error) {
    const char* const cut_off = error.byte > text.size() ? ", where it ends too early" : "";
    return fmt::format("not valid JSON ({}{})", place_of(std::max<std::size_t>(error.byte, 1), text), cut_off);
  } catch (const nlohmann::json::out_of_range&) {
    return "not valid JSON: it holds a number that is too large";
  }
}

template <typename AnyJson>
AnyJson parse_or_fail(std::string_view text, const std::string& source) {
  AnyJson value;
  const std::string problem = parse(text, value);
  if (!problem.empty()) fail("{}: {}", source, problem);
  return value;
}

}  // namespace

ParsedJson try_parse_json(std::string_view text) {
  ParsedJson parsed;
  parsed.problem = parse(text, parsed.value);
  return parsed;
}

Json parse_json(std::string_view text, const std::string& source) { return parse_or_fail<Json>(text, source); }

LookupJson parse_lookup_json(std::string_view text, const std::string& source) {
  return parse_or_fail<LookupJson>(text, source);
}

Json read_json_file(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void write_json_file(const std::filesystem::path& path, const Json& value) {
  write_file_atomic(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string dump_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void fail_json_field(bool is_object, const std::string& key, const std::string& source, const std::string& reason) {
  if (!is_object) fail("{}: expected an object with the field \"{}\"", source, key);
  fail("{}: field \"{}\": {}", source, key, reason);
}

}  // namespace lookback
