// A table for the terminal.
#pragma once

#include <string>
#include <vector>

namespace lookback {

// Rows of equal size, the first one the headers, as lines of aligned columns (right-aligned, two blanks
// between), each line opened by `indent`. Characters count as one column each, however many bytes they have.
std::string text_table(const std::vector<std::vector<std::string>>& rows, const std::string& indent);

}  // namespace lookback
