#include "text/utf8_stream.h"

#include <utility>

namespace lookback {
namespace {

constexpr const char* replacement = "\xEF\xBF\xBD";

std::size_t character_size(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

bool continues(const std::string& text, std::size_t index, unsigned char lead, std::size_t offset) {
  const auto byte = static_cast<unsigned char>(text[index]);
  if (offset == 1) {
    if (lead == 0xE0) return byte >= 0xA0 && byte < 0xC0;
    if (lead == 0xED) return byte >= 0x80 && byte < 0xA0;
    if (lead == 0xF0) return byte >= 0x90 && byte < 0xC0;
    if (lead == 0xF4) return byte >= 0x80 && byte < 0x90;
  }
  return byte >= 0x80 && byte < 0xC0;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string released;
  std::size_t begin = 0;
  while (begin < pending_.size()) {
    const auto lead = static_cast<unsigned char>(pending_[begin]);
    const std::size_t size = character_size(lead);
    std::size_t good = 1;
    while (good < size && begin + good < pending_.size() && continues(pending_, begin + good, lead, good)) ++good;
    if (size > 0 && good == size) {
      released += pending_.substr(begin, size);
    } else if (size > 0 && begin + good == pending_.size()) {
      break;
    } else {
      released += replacement;
    }
    begin += good;
  }
  pending_.erase(0, begin);
  return released;
}

std::string Utf8Stream::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return replacement;
}

}  // namespace lookback
