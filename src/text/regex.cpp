#include "text/regex.h"

#include <oniguruma.h>

#include <array>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "text/character_classes.h"
#include "text/utf8.h"

namespace lookback {
namespace {

const OnigUChar* begin_of(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(
      text.data());  // NOLINT(bugprone-suspicious-stringview-data-usage): with its size
}

// Oniguruma's own tables are of the Unicode version of the day that it was packaged; ours go first.
void define_categories() {
  static std::array<std::vector<OnigCodePoint>, 13> ranges;  // the library keeps pointers to them
  constexpr std::array<const char*, 13> names{"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "Nd", "No", "P", "S", "Mn"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::vector<std::uint32_t> found = category_ranges(names[i]);
    ranges[i].push_back(static_cast<OnigCodePoint>(found.size() / 2));
    ranges[i].insert(ranges[i].end(), found.begin(), found.end());
    onig_unicode_define_user_property(names[i], ranges[i].data());
  }
}

void initialize_library() {
  OnigEncoding encoding = ONIG_ENCODING_UTF8;
  onig_initialize(&encoding, 1);
  // Some 400 MB of what is still to be tried: far beyond any sound pattern.
  constexpr unsigned most_alternatives = 8'000'000;
  onig_set_match_stack_limit_size(most_alternatives);
  constexpr unsigned long most_retries = 20'000'000;  // one match may take the library's own 10'000'000
  onig_set_retry_limit_in_search(most_retries);
  define_categories();
}

std::string message_of(int code, OnigErrorInfo* info) {
  std::array<OnigUChar, ONIG_MAX_ERROR_MESSAGE_LEN> text{};
  const int size = onig_error_code_to_str(text.data(), code, info);
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(size)};
}

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& source) : pattern_(pattern), source_(source) {
  static std::mutex compiling;  // the library's compiler keeps global state
  const std::scoped_lock lock(compiling);
  static const bool initialized = (initialize_library(), true);
  static_cast<void>(initialized);
  regex_t* compiled = nullptr;
  OnigErrorInfo info{};
  const int code = onig_new(&compiled, begin_of(pattern), begin_of(pattern) + pattern.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  require(code == ONIG_NORMAL, "{}: the pattern {} is not supported: {}", source, pattern, message_of(code, &info));
  compiled_ = std::shared_ptr<void>(compiled, [](void* regex) { onig_free(static_cast<regex_t*>(regex)); });
}

std::optional<Span> Regex::find(std::string_view text, std::size_t begin) const {
  thread_local const std::unique_ptr<OnigRegion, FreeRegion> region(onig_region_new());
  const OnigUChar* const start = begin_of(text);
  const OnigUChar* const end = start + text.size();
  const int found = onig_search(static_cast<regex_t*>(compiled_.get()), start, end, start + begin, end, region.get(),
                                ONIG_OPTION_NONE);
  if (found == ONIG_MISMATCH) return std::nullopt;
  require(found >= 0, "{}: the pattern {} takes too long on a text: {}", source_, pattern_, message_of(found, nullptr));
  return Span{static_cast<std::size_t>(region->beg[0]), static_cast<std::size_t>(region->end[0]), true};
}

std::size_t Regex::character_bytes(std::string_view text, std::size_t position) {
  return position < text.size() ? character_at(text, position).size : 1;
}

std::string escaped_pattern(std::string_view text) {
  constexpr std::string_view special = "\\.+*?()|[]{}^$#&-~";
  std::string pattern;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace lookback
