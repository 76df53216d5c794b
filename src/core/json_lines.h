// Texts with a JSON value on each line, as people have them: blank lines are passed over (and counted), a byte-order
// mark and Windows' line ends are no part of a line, and a number beyond all range is null, so that it disturbs only
// who reads it. Whatever reads such lines goes through here; files that may be compressed through data/json_lines.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/json.h"

namespace lookback {

// Whether there is nothing on a line.
bool is_blank_line(std::string_view line);

// The value on one line that is not blank.
ParsedJson try_parse_json_line(std::string_view line);
// The same; throws Error that `source` opens.
Json parse_json_line(std::string_view line, const std::string& source);

using VisitJson = std::function<void(const Json& value, const std::string& source)>;

// Calls visit(value, "FILE, line 3") for line number 3 of FILE unless it is blank. Throws Error of that name.
void visit_json_line(std::string_view line, const std::string& file, std::int64_t number, const VisitJson& visit);

// The same for each line of `text`, the content of `file`.
void visit_json_lines(std::string_view text, const std::string& file, const VisitJson& visit);

}  // namespace lookback
