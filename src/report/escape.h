// Text of unknown origin (a model's output, file names) made fit for XML and HTML.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

// `bytes` as valid UTF-8: what is no UTF-8 becomes U+FFFD, control characters their pictures (U+2400 and on).
std::string printable_text(std::string_view bytes);

// printable_text(bytes) with & < > " ' as entities: safe between tags and inside quoted attributes.
std::string escape_markup(std::string_view bytes);

}  // namespace lookback
