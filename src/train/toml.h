// TOML files as the JSON values that the rest of the program reads, and back.
#pragma once

#include <filesystem>
#include <string>

#include "core/json.h"

namespace lookback {

// Throws Error naming the file, and the line where it is not valid TOML. Dates are refused.
Json read_toml_file(const std::filesystem::path& path);

// The same of a text that is no file's; source: its name in messages.
Json parse_toml(const std::string& content, const std::string& source);

// `value`: an object of objects, one table each, and of arrays of objects, one [[table]] an entry, in their order.
// Their keys hold scalars, objects of the same (inline tables) and arrays of both.
std::string dump_toml(const Json& value);

}  // namespace lookback
