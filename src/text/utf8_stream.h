// Bytes in, whole UTF-8 characters out: for text that is shown while its tokens arrive.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

class Utf8Stream {
 public:
  // Takes bytes and returns what can be shown now: whole characters; invalid bytes come out as U+FFFD.
  std::string push(std::string_view bytes);
  // The end: what is left is an unfinished character, shown as U+FFFD.
  std::string flush();

 private:
  std::string pending_;  // the start of a character, at most three bytes
};

}  // namespace lookback
