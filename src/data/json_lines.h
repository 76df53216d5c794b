// Files with a JSON value on each line (core/json_lines.h).
#pragma once

#include <filesystem>

#include "core/json_lines.h"

namespace lookback {

// visit_json_lines() of core for the content of a file, a block at a time; names ending in .zst and .gz are
// decompressed. Throws Error naming the file, and the line that is no JSON.
void read_json_lines(const std::filesystem::path& path, const VisitJson& visit);

}  // namespace lookback
