#include "text/word_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "core/error.h"

namespace lookback {
namespace {

// PCRE2's own \s also holds U+180E, which Unicode took out of White_Space.
constexpr const char* white_space =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

// Spells out \s and \S.
std::string with_plain_white_space(const std::string& pattern, const std::string& source) {
  std::string result;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      in_class = c == '[' || (in_class && c != ']');
      result += c;
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      result += in_class ? white_space : std::string("[") + white_space + "]";
    } else if (escaped == 'S') {
      require(!in_class, "{}: \\S inside brackets is not supported in a pattern", source);
      result += std::string("[^") + white_space + "]";
    } else {
      result += c;
      result += escaped;
    }
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

}  // namespace

struct WordSplitter::Compiled {
  struct FreeCode {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  std::unique_ptr<pcre2_code, FreeCode> code;
  bool ends_words_at_blanks = false;
};

WordSplitter::WordSplitter(const std::string& pattern, const std::string& source)
    : compiled_(std::make_unique<Compiled>()) {
  compiled_->ends_words_at_blanks = pattern == gpt2_pattern() || pattern == llama3_pattern || pattern == qwen2_pattern;
  const std::string plain = with_plain_white_space(pattern, source);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(plain.data()), plain.size(), PCRE2_UTF | PCRE2_UCP,
                                      &error, &offset, nullptr));
  require(compiled_->code != nullptr, "{}: the pattern {} is not supported: {}", source, pattern, pcre_message(error));
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
}

WordSplitter::~WordSplitter() = default;
WordSplitter::WordSplitter(WordSplitter&&) noexcept = default;
WordSplitter& WordSplitter::operator=(WordSplitter&&) noexcept = default;

bool WordSplitter::ends_words_at_blanks() const { return compiled_->ends_words_at_blanks; }

const char* WordSplitter::gpt2_pattern() {
  return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
}

std::size_t WordSplitter::word_end(std::string_view text, std::size_t begin) const {
  thread_local const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return text.size();
  require(found >= 0, "cannot cut the text into words: {}", pcre_message(found));
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(match.get());
  return range[0] > begin ? range[0] : range[1];
}

}  // namespace lookback
