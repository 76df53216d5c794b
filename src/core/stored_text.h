// Bytes that need not be UTF-8 (names of files) as text that JSON can hold, and back: for what is compared or opened
// again. What is only shown goes through shown_text.h.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

// `bytes` as they are when they are UTF-8; else with NUL and two hex digits for each byte above 127. Bytes hold no NUL,
// as no path does.
std::string stored_text(std::string_view bytes);

// What stored_text() was made of. A text without NUL stands for itself, so that older files mean what they say.
std::string bytes_of_stored_text(std::string_view text);

}  // namespace lookback
