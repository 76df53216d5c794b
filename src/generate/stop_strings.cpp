#include "generate/stop_strings.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace lookback {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) require(!stop.empty(), "a stop string is empty: give at least one character");
}

std::string StopStrings::push(std::string_view bytes) {
  for (const char byte : bytes) {
    if (stopped_) break;
    pending_ += byte;
    std::size_t matched_size = 0;
    for (const std::string& stop : stops_) {
      if (pending_.ends_with(stop)) matched_size = std::max(matched_size, stop.size());
    }
    if (matched_size == 0) continue;
    stopped_ = true;
    pending_.resize(pending_.size() - matched_size);
    return std::exchange(pending_, {});
  }
  const std::size_t released_size = pending_.size() - held_back_size();
  std::string released = pending_.substr(0, released_size);
  pending_.erase(0, released_size);
  return released;
}

std::string StopStrings::finish() { return std::exchange(pending_, {}); }

// The longest end of pending_ that begins a stop string.
std::size_t StopStrings::held_back_size() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size() - 1, pending_.size()); size > longest; --size) {
      if (pending_.ends_with(std::string_view(stop).substr(0, size))) longest = size;
    }
  }
  return longest;
}

}  // namespace lookback
