// Bytes that come in pieces, released as whole UTF-8 characters.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

class Utf8Stream {
 public:
  // Takes the next bytes and returns the complete characters so far; bytes that no character begins with or
  // continues by become U+FFFD.
  std::string push(std::string_view bytes);
  // What is left of an incomplete character, as U+FFFD.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace lookback
