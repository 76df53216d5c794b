#include "core/json.h"

#include "core/error.h"
#include "core/files.h"

namespace lookback {

Json parse_json(std::string_view text, const std::string& source) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& exception) {
    fail("{}: not valid JSON: {}", source, exception.what());
  }
}

Json read_json_file(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void write_json_file(const std::filesystem::path& path, const Json& value) {
  write_file_atomic(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string dump_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void fail_json_field(const Json& value, const std::string& key, const std::string& source, const char* reason) {
  if (!value.is_object()) fail("{}: expected an object with the field \"{}\"", source, key);
  fail("{}: field \"{}\": {}", source, key, reason);
}

}  // namespace lookback
