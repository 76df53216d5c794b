#include "memory/document_source.h"

#include <fmt/core.h>
#include <xxhash.h>

namespace lookback {
namespace {

constexpr std::string_view content_kind = "xxh128 ";
constexpr std::string_view before_place = " at ";

}  // namespace

std::string document_source(const ContentHash& content, std::string_view path) {
  return fmt::format("{}{:016x}{:016x}{}{:016x}", content_kind, content.high, content.low, before_place,
                     XXH3_64bits(path.data(), path.size()));
}

std::string_view content_of_source(std::string_view source) {
  return source.starts_with(content_kind) ? source.substr(0, source.find(before_place)) : source;
}

std::string_view place_of_source(std::string_view source) {
  if (!source.starts_with(content_kind)) return {};
  const std::size_t place = source.find(before_place);
  return place == std::string_view::npos ? std::string_view() : source.substr(place + before_place.size());
}

}  // namespace lookback
