// Files with a JSON value on each line.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/json.h"

namespace lookback {

// Calls visit(value, "FILE, line 3") for each line; names ending in .zst and .gz are decompressed. Throws Error naming
// the file, and the line that is no JSON (an empty one, too).
void read_json_lines(const std::filesystem::path& path,
                     const std::function<void(const Json& value, const std::string& source)>& visit);

}  // namespace lookback
