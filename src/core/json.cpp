#include "core/json.h"

#include <cmath>

#include "core/error.h"
#include "core/files.h"

namespace lookback {

namespace {

template <typename AnyJson>
AnyJson parse(std::string_view text, const std::string& source) {
  try {
    return AnyJson::parse(text);
  } catch (const nlohmann::json::exception& exception) {
    fail("{}: not valid JSON: {}", source, exception.what());
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& source) { return parse<Json>(text, source); }

LookupJson parse_lookup_json(std::string_view text, const std::string& source) {
  return parse<LookupJson>(text, source);
}

Json read_json_file(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void write_json_file(const std::filesystem::path& path, const Json& value) {
  write_file_atomic(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string dump_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void fail_json_field(bool is_object, const std::string& key, const std::string& source, const char* reason) {
  if (!is_object) fail("{}: expected an object with the field \"{}\"", source, key);
  fail("{}: field \"{}\": {}", source, key, reason);
}

}  // namespace lookback
