// Watches generated text for strings that end it, also when one spans several tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lookback {

// The first stop string to be complete ends the text, wherever tokens begin and end. It and all after it is
// dropped; when several are complete at the same byte, the longest is.
class StopStrings {
 public:
  // Throws Error for an empty stop string (it would end every text at once).
  explicit StopStrings(std::vector<std::string> stops);

  // Takes the next bytes and returns those that may be shown: all but what could still become a stop string.
  std::string push(std::string_view bytes);

  // The bytes still held back, when the text ends without a stop string.
  std::string finish();

  // Whether a stop string was complete; push then returns nothing more.
  bool stopped() const { return stopped_; }

 private:
  std::size_t held_back_size() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace lookback
