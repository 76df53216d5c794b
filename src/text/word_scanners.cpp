#include "text/word_scanners.h"

#include <algorithm>

#include "text/character_classes.h"
#include "text/utf8.h"

namespace lookback {

const char* const gpt2_pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

namespace {

constexpr std::string_view llama3_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view qwen2_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

bool is_sign(char32_t code) { return !is_letter(code) && !is_number(code) && !is_white_space(code); }
bool is_line_end(char32_t code) { return code == '\r' || code == '\n'; }

// The end of the run from `begin` on, of `most` characters at most, whose characters are `wanted`.
template <typename IsWanted>
std::size_t run_end(std::string_view text, std::size_t begin, const IsWanted& wanted,
                    std::size_t most = std::string_view::npos) {
  std::size_t end = begin;
  for (std::size_t count = 0; end < text.size() && count < most; ++count) {
    const Character next = character_at(text, end);
    if (!wanted(next.code)) break;
    end += next.size;
  }
  return end;
}

// \s+(?!\S)|\s+ where white space begins: a run leaves its last character to the word behind it.
std::size_t blanks_end(std::string_view text, std::size_t begin) {
  const std::size_t end = run_end(text, begin, is_white_space);
  const std::size_t last = previous_character(text, end);
  return end == text.size() || last == begin ? end : last;
}

// How many bytes of 's, 't, 're, 've, 'm, 'll or 'd `text` begins with; 0 where with none.
std::size_t contraction_bytes(std::string_view text) {
  for (const std::string_view contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(contraction)) return contraction.size();
  }
  return 0;
}

// The same in either case; the long s counts as one.
std::size_t any_case_contraction_bytes(std::string_view text) {
  if (text.starts_with("'\xc5\xbf")) return 3;
  std::string lower(text.substr(0, 3));
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return contraction_bytes(lower);
}

std::size_t gpt2_word_end(std::string_view text, std::size_t begin) {
  if (text[begin] == '\'') {
    const std::size_t size = contraction_bytes(text.substr(begin));
    if (size > 0) return begin + size;
  }
  const std::size_t start = text[begin] == ' ' && begin + 1 < text.size() ? begin + 1 : begin;
  const char32_t code = character_at(text, start).code;
  if (is_letter(code)) return run_end(text, start, is_letter);
  if (is_number(code)) return run_end(text, start, is_number);
  if (is_sign(code)) return run_end(text, start, is_sign);
  return blanks_end(text, begin);
}

template <std::size_t MostDigits>
std::size_t llama3_word_end(std::string_view text, std::size_t begin) {
  if (text[begin] == '\'') {
    const std::size_t size = any_case_contraction_bytes(text.substr(begin));
    if (size > 0) return begin + size;
  }
  const Character first = character_at(text, begin);
  if (is_letter(first.code)) return run_end(text, begin, is_letter);
  if (is_number(first.code)) return run_end(text, begin, is_number, MostDigits);
  const std::size_t next = begin + first.size;
  if (!is_line_end(first.code)) {
    const std::size_t letters = run_end(text, next, is_letter);
    if (letters > next) return letters;
  }
  const std::size_t start = first.code == ' ' ? next : begin;
  const std::size_t signs = run_end(text, start, is_sign);
  if (signs > start) return run_end(text, signs, is_line_end);
  // \s*[\r\n]+: up to the last line end of the run.
  const std::size_t blanks = run_end(text, begin, is_white_space);
  const std::size_t last_line_end = text.substr(begin, blanks - begin).find_last_of("\r\n");
  if (last_line_end != std::string_view::npos) return begin + last_line_end + 1;
  return blanks_end(text, begin);
}

}  // namespace

WordScanner find_word_scanner(std::string_view pattern) {
  if (pattern == gpt2_pattern) return gpt2_word_end;
  if (pattern == llama3_pattern) return llama3_word_end<3>;
  if (pattern == qwen2_pattern) return llama3_word_end<1>;
  return nullptr;
}

std::size_t last_word_end(std::string_view text) {
  std::size_t end = valid_utf8_prefix(text);
  bool letter_follows = true;  // nobody knows what comes behind the text
  while (end > 0) {
    const std::size_t begin = previous_character(text, end);
    const bool is_one = is_letter(character_at(text, begin).code);
    if (is_one && !letter_follows) return end;
    letter_follows = is_one;
    end = begin;
  }
  return 0;
}

}  // namespace lookback
