#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/error.h"
#include "text/character_classes.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace lookback {
namespace {

// Characters that were given a decomposition or a combining class after Unicode 9.
constexpr std::array<std::pair<char32_t, char32_t>, 46> later_characters{{
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},
    {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},
    {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
    {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
    {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
    {0x11839, 0x1183a}, {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
    {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
    {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c},
    {0x1fbf0, 0x1fbf9},
}};

bool is_later(char32_t code) {
  const auto* const found =
      std::ranges::lower_bound(later_characters, code, {}, &std::pair<char32_t, char32_t>::second);
  return found != later_characters.end() && found->first <= code;
}

// Characters below stay themselves in a form and combine with nothing before them.
char32_t first_unstable(NormalForm form) {
  if (form == NormalForm::nfc) return 0x300;
  return form == NormalForm::nfd ? 0xc0 : 0xa0;
}

utf8proc_option_t options_of(NormalForm form) {
  unsigned options = UTF8PROC_STABLE;
  options |= form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

struct Free {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }  // NOLINT: utf8proc_map's own way
};

void append_normalized(std::string_view text, NormalForm form, std::string& result) {
  if (text.empty()) return;
  utf8proc_uint8_t* found = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &found, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(found);
  require(size >= 0, "a text cannot be normalized: {}", utf8proc_errmsg(size));
  result.append(reinterpret_cast<const char*>(found), static_cast<std::size_t>(size));
}

// Stands for itself, and normalization on its one side does not see the other side, but that a mark may follow it.
bool is_stable(char32_t code, char32_t unstable) { return code < unstable || (code >= 0x4e00 && code <= 0x9fff); }

}  // namespace

std::string normalized(std::string_view text, NormalForm form) {
  const char32_t unstable = first_unstable(form);
  std::string result;
  result.reserve(text.size());
  std::size_t done = 0;         // of `text`, in `result`
  std::size_t last_stable = 0;  // where the last character that may take a mark begins
  for (std::size_t position = 0; position < text.size();) {
    Character next = character_at(text, position);
    if (is_stable(next.code, unstable)) {
      last_stable = position;
      position += next.size;
      continue;
    }
    // From the character before to the next stable one: what the library has to look at.
    result += text.substr(done, std::max(done, last_stable) - done);
    done = std::max(done, last_stable);
    while (position < text.size() && !is_stable((next = character_at(text, position)).code, unstable)) {
      if (is_later(next.code)) {
        append_normalized(text.substr(done, position - done), form, result);
        result += text.substr(position, next.size);
        done = position + next.size;
      }
      position += next.size;
    }
    append_normalized(text.substr(done, position - done), form, result);
    done = position;
    last_stable = position;
  }
  result += text.substr(done);
  return result;
}

namespace {

// What the library does not know of lower case: Unicode 15 to 17.
char32_t lower_case_of(char32_t code) {
  if (code == 0xa7cb) return 0x264;
  if (code == 0xa7dc) return 0x19b;
  if (code == 0x1c89 || code == 0xa7cc || code == 0xa7ce || code == 0xa7d2 || code == 0xa7d4 || code == 0xa7da) {
    return code + 1;
  }
  if (code >= 0x10d50 && code <= 0x10d65) return code + 0x20;
  if (code >= 0x16ea0 && code <= 0x16eb8) return code + 0x1b;
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    const Character next = character_at(text, position);
    position += next.size;
    if (next.code == 0x130) {  // the one that becomes two
      result += "i\xcc\x87";
    } else {
      append_character(lower_case_of(next.code), result);
    }
  }
  return result;
}

Normalizer::Normalizer(const LookupJson& value, const std::string& source) {
  for (const LookupJson& component : flattened_components(value, "normalizers", source + ": normalizer")) {
    steps_.push_back(read_step(component, source));
  }
}

Normalizer::Step Normalizer::read_step(const LookupJson& value, const std::string& source) {
  const std::string type = component_type(value, source + ": normalizer");
  const std::string place = source + ": normalizer " + type;
  for (const auto& [name, form] : {std::pair{"NFC", NormalForm::nfc}, std::pair{"NFD", NormalForm::nfd},
                                   std::pair{"NFKC", NormalForm::nfkc}, std::pair{"NFKD", NormalForm::nfkd}}) {
    if (type != name) continue;
    check_fields(value, {}, place);
    return Form{form};
  }
  if (type == "Lowercase") {
    check_fields(value, {}, place);
    return Lowercase{};
  }
  if (type == "Prepend") {
    check_fields(value, {"prepend"}, place);
    return Prepend{json_field<std::string>(value, "prepend", place)};
  }
  if (type == "Strip") {
    check_fields(value, {"strip_left", "strip_right"}, place);
    return Strip{json_field<bool>(value, "strip_left", place), json_field<bool>(value, "strip_right", place)};
  }
  require(type == "Replace", "{}: normalizer type \"{}\" is not supported", source, type);
  check_fields(value, {"pattern", "content"}, place);
  const auto& pattern = value.contains("pattern") ? value.at("pattern") : value;
  const std::string literal = pattern.is_object() && pattern.contains("String") && pattern.at("String").is_string()
                                  ? pattern.at("String").get<std::string>()
                                  : "";
  Regex regex = pattern_field(value, place);
  // There the `tokenizers` package itself goes wrong.
  require(!regex.find("", 0).has_value(), "{}: a pattern that matches the empty text is not supported", place);
  return Replace{std::move(regex), json_field<std::string>(value, "content", place),
                 !literal.empty() && utf8_character_size(literal) == literal.size()};
}

void Normalizer::apply(std::string& text, bool begins) const {
  for (const Step& step : steps_) apply_step(step, begins, text);
}

void Normalizer::apply_step(const Step& step, bool begins, std::string& text) {
  if (const auto* const form = std::get_if<Form>(&step)) {
    text = normalized(text, form->form);
  } else if (std::holds_alternative<Lowercase>(step)) {
    text = lower_case(text);
  } else if (const auto* const prepend = std::get_if<Prepend>(&step)) {
    if (begins && !text.empty()) text.insert(0, prepend->text);
  } else if (const auto* const replace = std::get_if<Replace>(&step)) {
    std::string result;
    result.reserve(text.size());
    replace->pattern.for_each_span(text, [&](const Span& span) {
      result += span.is_match ? std::string_view(replace->content)
                              : std::string_view(text).substr(span.begin, span.end - span.begin);
    });
    text = std::move(result);
  } else if (const auto* const strip = std::get_if<Strip>(&step)) {
    std::string_view rest = text;
    while (strip->left && !rest.empty()) {
      const Character first = character_at(rest, 0);
      if (!is_white_space(first.code)) break;
      rest.remove_prefix(first.size);
    }
    while (strip->right && !rest.empty()) {
      const std::size_t last = previous_character(rest, rest.size());
      if (!is_white_space(character_at(rest, last).code)) break;
      rest = rest.substr(0, last);
    }
    text = std::string(rest);
  }
}

bool Normalizer::works_piecewise() const {
  return std::ranges::all_of(steps_, [](const Step& step) {
    if (const auto* const replace = std::get_if<Replace>(&step)) return replace->replaces_one_character;
    return !std::holds_alternative<Strip>(step);
  });
}

bool Normalizer::keeps_ascii_words() const {
  for (char32_t code = 0; code < 0x80; ++code) {
    const std::string before(1, static_cast<char>(code));
    std::string behind = before;
    apply(behind, false);
    if (is_letter(code) ? behind != before : behind.empty() || is_letter(character_at(behind, 0).code)) return false;
  }
  return true;
}

}  // namespace lookback
