#include "text/word_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace lookback {
namespace {

// What a bracket expression holds for \s. PCRE2's own \s also holds U+180E, which Unicode took out of White_Space.
constexpr const char* white_space =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

// For \p{L} and \p{N}: PCRE2's, and what Unicode 15 and 16 added, so that the ids do not depend on PCRE2's version.
constexpr const char* letters =
    "\\p{L}\\x{1c89}\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d65}"
    "\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}\\x{11240}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}"
    "\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}"
    "\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
    "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}"
    "\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
constexpr const char* numbers =
    "\\p{N}\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}\\x{16130}-\\x{16139}"
    "\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}";

struct Shorthand {
  std::string_view written;
  const char* members;  // of the bracket expression that it is short for
  bool negated;
};
constexpr std::array<Shorthand, 6> shorthands{{{"\\s", white_space, false},
                                               {"\\S", white_space, true},
                                               {"\\p{L}", letters, false},
                                               {"\\P{L}", letters, true},
                                               {"\\p{N}", numbers, false},
                                               {"\\P{N}", numbers, true}}};

// Spells out the shorthands whose members differ between PCRE2 and the dialect of tokenizer.json files.
std::string spelled_out(const std::string& pattern, const std::string& source) {
  std::string result;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size();) {
    const std::string_view rest = std::string_view(pattern).substr(i);
    const auto found = std::ranges::find_if(
        shorthands, [&](const Shorthand& shorthand) { return rest.starts_with(shorthand.written); });
    if (found != shorthands.end()) {
      require(!in_class || !found->negated, "{}: {} inside brackets is not supported in a pattern", source,
              found->written);
      result += in_class ? found->members : fmt::format("[{}{}]", found->negated ? "^" : "", found->members);
      i += found->written.size();
      continue;
    }
    const std::size_t size = rest[0] == '\\' && rest.size() > 1 ? 2 : 1;
    if (size == 1) in_class = rest[0] == '[' || (in_class && rest[0] != ']');
    result += rest.substr(0, size);
    i += size;
  }
  return result;
}

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Llama 3's pattern, and Qwen 2's, which takes numbers digit by digit.
constexpr const char* llama3_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+";
constexpr const char* qwen2_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+";

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using CodePointer = std::unique_ptr<pcre2_code, FreeCode>;

// Throws Error naming `source` and the pattern as it was `written` when it does not compile.
CodePointer compile(const std::string& pattern, const std::string& written, const std::string& source) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  CodePointer code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                                 &error, &offset, nullptr));
  require(code != nullptr, "{}: the pattern {} is not supported: {}", source, written, pcre_message(error));
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
  return code;
}

// Begin and end of the first match at or behind `begin`; npos twice where there is none.
std::pair<std::size_t, std::size_t> find_match(const pcre2_code* code, std::string_view text, std::size_t begin) {
  thread_local const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return {std::string_view::npos, std::string_view::npos};
  require(found >= 0, "cannot cut the text into words: {}", pcre_message(found));
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(match.get());
  return {range[0], range[1]};
}

}  // namespace

struct WordSplitter::Compiled {
  CodePointer code;
  bool ends_words_after_letters = false;
};

WordSplitter::WordSplitter(const std::string& pattern, const std::string& source)
    : compiled_(std::make_unique<Compiled>()) {
  compiled_->ends_words_after_letters =
      pattern == gpt2_pattern() || pattern == llama3_pattern || pattern == qwen2_pattern;
  compiled_->code = compile(spelled_out(pattern, source), pattern, source);
}

WordSplitter::~WordSplitter() = default;
WordSplitter::WordSplitter(WordSplitter&&) noexcept = default;
WordSplitter& WordSplitter::operator=(WordSplitter&&) noexcept = default;

bool WordSplitter::ends_words_after_letters() const { return compiled_->ends_words_after_letters; }

bool WordSplitter::is_letter(std::string_view character) {
  static const CodePointer letter = compile(fmt::format("[{}]", letters), "\\p{L}", "built-in pattern");
  return find_match(letter.get(), character, 0).first == 0;
}

const char* WordSplitter::gpt2_pattern() {
  return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
}

std::size_t WordSplitter::word_end(std::string_view text, std::size_t begin) const {
  const auto [match_begin, match_end] = find_match(compiled_->code.get(), text, begin);
  if (match_begin == std::string_view::npos) return text.size();
  return match_begin > begin ? match_begin : match_end;
}

}  // namespace lookback
