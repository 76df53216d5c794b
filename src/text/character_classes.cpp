#include "text/character_classes.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <memory>

namespace lookback {
namespace {

constexpr char32_t num_codes = 0x110000;

struct Range {
  char32_t first, last;
  bool contains(char32_t code) const { return first <= code && code <= last; }
};

struct CategoryRange {
  char32_t first, last;
  std::string_view category;
};

// What Unicode 15.1 and 16 added or changed, so that categories do not depend on the library's version.
constexpr std::array<CategoryRange, 84> newer_categories{{
    {0x897, 0x897, "Mn"},     {0x1b4e, 0x1b4f, "Po"},   {0x1b7f, 0x1b7f, "Po"},   {0x1c89, 0x1c89, "Lu"},
    {0x1c8a, 0x1c8a, "Ll"},   {0x2427, 0x2429, "So"},   {0x2ffc, 0x2fff, "So"},   {0x31e4, 0x31e5, "So"},
    {0x31ef, 0x31ef, "So"},   {0xa7cb, 0xa7cc, "Lu"},   {0xa7cd, 0xa7cd, "Ll"},   {0xa7da, 0xa7da, "Lu"},
    {0xa7db, 0xa7db, "Ll"},   {0xa7dc, 0xa7dc, "Lu"},   {0x105c0, 0x105f3, "Lo"}, {0x10d40, 0x10d49, "Nd"},
    {0x10d4a, 0x10d4d, "Lo"}, {0x10d4e, 0x10d4e, "Lm"}, {0x10d4f, 0x10d4f, "Lo"}, {0x10d50, 0x10d65, "Lu"},
    {0x10d69, 0x10d6d, "Mn"}, {0x10d6e, 0x10d6e, "Pd"}, {0x10d6f, 0x10d6f, "Lm"}, {0x10d70, 0x10d85, "Ll"},
    {0x10d8e, 0x10d8f, "Sm"}, {0x10ec2, 0x10ec4, "Lo"}, {0x10efc, 0x10efc, "Mn"}, {0x11380, 0x11389, "Lo"},
    {0x1138b, 0x1138b, "Lo"}, {0x1138e, 0x1138e, "Lo"}, {0x11390, 0x113b5, "Lo"}, {0x113b7, 0x113b7, "Lo"},
    {0x113b8, 0x113ba, "Mc"}, {0x113bb, 0x113c0, "Mn"}, {0x113c2, 0x113c2, "Mc"}, {0x113c5, 0x113c5, "Mc"},
    {0x113c7, 0x113ca, "Mc"}, {0x113cc, 0x113cd, "Mc"}, {0x113ce, 0x113ce, "Mn"}, {0x113cf, 0x113cf, "Mc"},
    {0x113d0, 0x113d0, "Mn"}, {0x113d1, 0x113d1, "Lo"}, {0x113d2, 0x113d2, "Mn"}, {0x113d3, 0x113d3, "Lo"},
    {0x113d4, 0x113d5, "Po"}, {0x113d7, 0x113d8, "Po"}, {0x113e1, 0x113e2, "Mn"}, {0x116d0, 0x116e3, "Nd"},
    {0x1171e, 0x1171e, "Mc"}, {0x11bc0, 0x11be0, "Lo"}, {0x11be1, 0x11be1, "Po"}, {0x11bf0, 0x11bf9, "Nd"},
    {0x11f5a, 0x11f5a, "Mn"}, {0x13460, 0x143fa, "Lo"}, {0x16100, 0x1611d, "Lo"}, {0x1611e, 0x16129, "Mn"},
    {0x1612a, 0x1612c, "Mc"}, {0x1612d, 0x1612f, "Mn"}, {0x16130, 0x16139, "Nd"}, {0x16d40, 0x16d42, "Lm"},
    {0x16d43, 0x16d6a, "Lo"}, {0x16d6b, 0x16d6c, "Lm"}, {0x16d6d, 0x16d6f, "Po"}, {0x16d70, 0x16d79, "Nd"},
    {0x18cff, 0x18cff, "Lo"}, {0x1cc00, 0x1ccef, "So"}, {0x1ccf0, 0x1ccf9, "Nd"}, {0x1cd00, 0x1ceb3, "So"},
    {0x1e5d0, 0x1e5ed, "Lo"}, {0x1e5ee, 0x1e5ef, "Mn"}, {0x1e5f0, 0x1e5f0, "Lo"}, {0x1e5f1, 0x1e5fa, "Nd"},
    {0x1e5ff, 0x1e5ff, "Po"}, {0x1f8b2, 0x1f8bb, "So"}, {0x1f8c0, 0x1f8c1, "So"}, {0x1fa89, 0x1fa89, "So"},
    {0x1fa8f, 0x1fa8f, "So"}, {0x1fabe, 0x1fabe, "So"}, {0x1fac6, 0x1fac6, "So"}, {0x1fadc, 0x1fadc, "So"},
    {0x1fadf, 0x1fadf, "So"}, {0x1fae9, 0x1fae9, "So"}, {0x1fbcb, 0x1fbef, "So"}, {0x2ebf0, 0x2ee5d, "Lo"},
}};

// Punctuation by its category, but not in the list, of Unicode 8 and younger, that Punctuation uses.
constexpr std::array<Range, 39> not_yet_punctuation{{
    {0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},     {0xc84, 0xc84},
    {0x1b4e, 0x1b4f},   {0x1b7d, 0x1b7f},   {0x2e43, 0x2e4f},   {0x2e52, 0x2e5d},   {0x10d6e, 0x10d6e},
    {0x10ead, 0x10ead}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89}, {0x113d4, 0x113d5}, {0x113d7, 0x113d8},
    {0x1144b, 0x1144f}, {0x1145a, 0x1145b}, {0x1145d, 0x1145d}, {0x11660, 0x1166c}, {0x116b9, 0x116b9},
    {0x1183b, 0x1183b}, {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46}, {0x11a9a, 0x11a9c},
    {0x11a9e, 0x11aa2}, {0x11b00, 0x11b09}, {0x11be1, 0x11be1}, {0x11c41, 0x11c45}, {0x11c70, 0x11c71},
    {0x11ef7, 0x11ef8}, {0x11f43, 0x11f4f}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2}, {0x16d6d, 0x16d6f},
    {0x16e97, 0x16e9a}, {0x16fe2, 0x16fe2}, {0x1e5ff, 0x1e5ff}, {0x1e95e, 0x1e95f},
}};

// Alphabetic beyond letters, marks and letter-like numbers (Other_Alphabetic): circled and squared Latin letters.
constexpr std::array<Range, 4> alphabetic_symbols{
    {{0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}}};

constexpr unsigned char letter_bit = 1;
constexpr unsigned char number_bit = 2;
constexpr unsigned char word_bit = 4;
constexpr unsigned char numeric_bit = 8;
constexpr unsigned char punctuation_bit = 16;

bool is_in(char32_t code, const auto& ranges) {
  return std::ranges::any_of(ranges, [&](const Range& range) { return range.contains(code); });
}

struct Tables {
  std::array<std::array<char, 2>, num_codes> category;
  std::array<unsigned char, num_codes> bits;
};

unsigned char bits_of(char32_t code, std::string_view category) {
  const char major = category[0];
  unsigned bits = 0;
  if (major == 'L') bits |= letter_bit;
  if (major == 'N') bits |= number_bit;
  const bool is_word = major == 'L' || major == 'M' || category == "Nd" || category == "Nl" || category == "Pc" ||
                       code == 0x200c || code == 0x200d || is_in(code, alphabetic_symbols);
  if (is_word) bits |= word_bit;
  // The package's list of numbers is that of Unicode 17.
  if (major == 'N' || (code >= 0x11de0 && code <= 0x11de9) || (code >= 0x16ff4 && code <= 0x16ff6)) bits |= numeric_bit;
  const bool is_ascii_sign = code > ' ' && code < 0x7f && major != 'L' && major != 'N';
  const bool is_listed = (major == 'P' && !is_in(code, not_yet_punctuation)) || code == 0x166d || code == 0x111c9;
  if (is_ascii_sign || is_listed) bits |= punctuation_bit;
  return static_cast<unsigned char>(bits);
}

const Tables& tables() {
  static const std::unique_ptr<const Tables> made = [] {
    auto result = std::make_unique<Tables>();
    const auto set = [&](char32_t code, std::string_view category) {
      result->category[code] = {category[0], category[1]};
    };
    for (char32_t code = 0; code < num_codes; ++code) {
      set(code, utf8proc_category_string(static_cast<utf8proc_int32_t>(code)));
    }
    for (const CategoryRange& range : newer_categories) {
      for (char32_t code = range.first; code <= range.last; ++code) set(code, range.category);
    }
    for (char32_t code = 0; code < num_codes; ++code) {
      result->bits[code] = bits_of(code, {result->category[code].data(), 2});
    }
    return result;
  }();
  return *made;
}

bool has(char32_t code, unsigned char bit) {
  static const Tables& known = tables();
  return (known.bits[code] & bit) != 0;
}

}  // namespace

bool is_letter(char32_t code) {
  if (code < 0x80) return (code | 0x20U) >= 'a' && (code | 0x20U) <= 'z';
  return has(code, letter_bit);
}

bool is_number(char32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  return has(code, number_bit);
}

bool is_white_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool is_word_character(char32_t code) { return has(code, word_bit); }

bool is_numeric(char32_t code) { return has(code, numeric_bit); }

bool is_punctuation(char32_t code) { return has(code, punctuation_bit); }

std::vector<std::uint32_t> category_ranges(std::string_view category) {
  std::vector<std::uint32_t> ranges;
  for (char32_t code = 0; code < num_codes; ++code) {
    if (!std::string_view(tables().category[code].data(), 2).starts_with(category)) continue;
    if (!ranges.empty() && ranges.back() + 1 == code) {
      ranges.back() = code;
    } else {
      ranges.insert(ranges.end(), {code, code});
    }
  }
  return ranges;
}

}  // namespace lookback
