#include "text/decoder.h"

#include <charconv>
#include <utility>

#include "core/error.h"
#include "text/byte_alphabet.h"
#include "text/json_fields.h"

namespace lookback {
namespace {

// The byte that <0x0A> and the like stand for, or -1.
int fallback_byte(std::string_view token) {
  constexpr std::size_t size = 6;
  if (token.size() != size || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 && byte >= 0 ? byte : -1;
}

std::string stripped(std::string_view token, std::string_view character, std::size_t at_start, std::size_t at_end) {
  for (std::size_t i = 0; i < at_start && token.starts_with(character); ++i) token.remove_prefix(character.size());
  for (std::size_t i = 0; i < at_end && token.ends_with(character); ++i) token.remove_suffix(character.size());
  return std::string(token);
}

}  // namespace

Decoder::Decoder(const LookupJson& value, const std::string& source) {
  require(!value.is_null(), "{}: decoder: none is given, which is not supported", source);
  for (const LookupJson& component : flattened_components(value, "decoders", source + ": decoder")) {
    read_step(component, source);
  }
}

void Decoder::read_step(const LookupJson& value, const std::string& source) {
  const std::string type = component_type(value, source + ": decoder");
  const std::string place = source + ": decoder " + type;
  if (type == "Strip") return read_strip(value, place);
  require(!is_fused_ || type == "Fuse", "{}: behind Fuse or ByteLevel it is not supported", place);
  if (type == "Fuse") {
    check_fields(value, {}, place);
    is_fused_ = true;
  } else if (type == "ByteLevel") {
    check_fields(value, {"add_prefix_space", "trim_offsets", "use_regex"}, place);
    steps_.emplace_back(ByteLevel{});
    is_fused_ = true;
  } else if (type == "ByteFallback") {
    check_fields(value, {}, place);
    steps_.emplace_back(ByteFallback{});
  } else if (type == "Replace") {
    check_fields(value, {"pattern", "content"}, place);
    steps_.emplace_back(Replace{pattern_field(value, place), json_field<std::string>(value, "content", place)});
  } else {
    require(type == "Metaspace", "{}: decoder type \"{}\" is not supported", source, type);
    check_fields(value, {"replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"}, place);
    steps_.emplace_back(Replace{{escaped_pattern(character_field(value, "replacement", place)), place}, " "});
    drops_leading_blank_ = json_field_or<std::string>(value, "prepend_scheme", "always", place) != "never" &&
                           json_field_or(value, "add_prefix_space", true, place);
  }
}

void Decoder::read_strip(const LookupJson& value, const std::string& place) {
  check_fields(value, {"content", "start", "stop"}, place);
  const std::string character = character_field(value, "content", place);
  const auto start = json_field<std::int64_t>(value, "start", place);
  const auto stop = json_field<std::int64_t>(value, "stop", place);
  constexpr std::int64_t most = 1'000'000;
  require(start >= 0 && stop >= 0 && start <= most && stop <= most, "{}: start {} and stop {} are out of range", place,
          start, stop);
  if (!is_fused_) {
    steps_.emplace_back(Strip{character, static_cast<std::size_t>(start), static_cast<std::size_t>(stop)});
    return;
  }
  require(character == " " && start <= 1 && stop == 0,
          "{}: of a whole text, only one blank at its start may be stripped", place);
  drops_leading_blank_ = drops_leading_blank_ || start == 1;
}

std::string Decoder::bytes_of(std::string_view token, bool is_added) const {
  std::string text(token);
  for (const Step& step : steps_) {
    if (std::holds_alternative<ByteLevel>(step)) {
      std::string bytes;
      if (!is_added && symbols_to_bytes(text, bytes)) text = bytes;
    } else if (std::holds_alternative<ByteFallback>(step)) {
      const int byte = fallback_byte(text);
      if (byte >= 0) return std::string(1, static_cast<char>(byte));
    } else if (const auto* const replace = std::get_if<Replace>(&step)) {
      std::string result;
      replace->pattern.for_each_span(text, [&](const Span& span) {
        result += span.is_match ? replace->content : text.substr(span.begin, span.end - span.begin);
      });
      text = std::move(result);
    } else {
      const auto& strip = std::get<Strip>(step);
      text = stripped(text, strip.character, strip.most_at_start, strip.most_at_end);
    }
  }
  return text;
}

}  // namespace lookback
