// Bytes for people: what is no UTF-8 is shown with replacement characters.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

// `text` with U+FFFD for what is no valid UTF-8.
std::string shown_text(std::string_view text);

}  // namespace lookback
