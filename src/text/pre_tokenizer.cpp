#include "text/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "text/byte_alphabet.h"
#include "text/character_classes.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace lookback {
namespace {

SplitBehavior behavior_named(const std::string& name, const std::string& place) {
  for (const auto& [known, behavior] :
       {std::pair{"Removed", SplitBehavior::removed}, std::pair{"Isolated", SplitBehavior::isolated},
        std::pair{"MergedWithPrevious", SplitBehavior::merged_with_previous},
        std::pair{"MergedWithNext", SplitBehavior::merged_with_next},
        std::pair{"Contiguous", SplitBehavior::contiguous}}) {
    if (name == known) return behavior;
  }
  fail("{}: behavior \"{}\" is not supported", place, name);
}

// Takes the spans of a text in order and gives on_piece (from, to) what a behavior makes of them, empty pieces too.
template <typename OnPiece>
class PieceMaker {
 public:
  PieceMaker(SplitBehavior behavior, bool invert, const OnPiece& on_piece)
      : behavior_(behavior), invert_(invert), on_piece_(on_piece) {}

  void add(Span span) {
    const bool is_match = span.is_match != invert_;
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) on_piece_(span.begin, span.end);
        return;
      case SplitBehavior::isolated:
        on_piece_(span.begin, span.end);
        return;
      case SplitBehavior::merged_with_previous:
        is_match && !previous_is_match_ ? extend(span) : start(span);
        break;
      case SplitBehavior::contiguous:
        is_match == previous_is_match_ ? extend(span) : start(span);
        break;
      case SplitBehavior::merged_with_next:
        previous_is_match_ && !is_match ? extend(span) : start(span);
        break;
    }
    previous_is_match_ = is_match;
  }

  void finish() {
    if (waits_) on_piece_(begin_, end_);
  }

 private:
  void extend(Span span) {
    if (!waits_) return start(span);
    end_ = span.end;
  }
  void start(Span span) {
    finish();
    waits_ = true;
    begin_ = span.begin;
    end_ = span.end;
  }

  SplitBehavior behavior_;
  bool invert_;
  const OnPiece& on_piece_;
  bool waits_ = false;
  bool previous_is_match_ = false;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// The spans of a text that are characters of a kind, one by one, and what lies between them.
template <typename IsWanted, typename OnSpan>
void for_each_character_span(std::string_view text, const IsWanted& is_wanted, const OnSpan& on_span) {
  std::size_t done = 0;
  for (std::size_t position = 0; position < text.size();) {
    const Character next = character_at(text, position);
    const std::size_t end = position + next.size;
    if (is_wanted(next.code)) {
      if (done < position) on_span(Span{done, position, false});
      on_span(Span{position, end, true});
      done = end;
    }
    position = end;
  }
  if (done < text.size()) on_span(Span{done, text.size(), false});
}

// \w+|[^\w\s]+
template <typename OnSpan>
void for_each_word_or_signs(std::string_view text, const OnSpan& on_span) {
  enum class Kind { word, signs, blanks };
  const auto kind_of = [](char32_t code) {
    if (is_word_character(code)) return Kind::word;
    return is_white_space(code) ? Kind::blanks : Kind::signs;
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const Kind kind = kind_of(character_at(text, begin).code);
    std::size_t end = begin;
    while (end < text.size() && kind_of(character_at(text, end).code) == kind) end += character_at(text, end).size;
    on_span(Span{begin, end, kind != Kind::blanks});
    begin = end;
  }
}

std::string in_byte_alphabet(std::string_view text) {
  std::string symbols;
  for (const char byte : text) symbols += byte_symbol(static_cast<unsigned char>(byte));
  return symbols;
}

}  // namespace

PreTokenizer::PreTokenizer(const LookupJson& value, const std::string& source) {
  for (const LookupJson& component : flattened_components(value, "pretokenizers", source + ": pre_tokenizer")) {
    Step step = read_step(component, source);
    const bool is_byte_level = std::holds_alternative<ByteLevel>(step);
    require(!is_byte_level_ || !(is_byte_level || std::holds_alternative<Metaspace>(step)),
            "{}: pre_tokenizer: {} behind ByteLevel is not supported", source, component_type(component, source));
    is_byte_level_ = is_byte_level_ || is_byte_level;
    steps_.push_back(std::move(step));
  }
  for (Step& step : steps_) {
    auto* const byte_level = std::get_if<ByteLevel>(&step);
    if (byte_level == nullptr || &step == &steps_.back()) continue;
    byte_level->changes_alphabet = true;
    words_in_alphabet_ = true;
  }
}

PreTokenizer::Step PreTokenizer::read_step(const LookupJson& value, const std::string& source) {
  const std::string type = component_type(value, source + ": pre_tokenizer");
  const std::string place = source + ": pre_tokenizer " + type;
  if (type == "Split") return read_split(value, place);
  if (type == "Metaspace") return read_metaspace(value, place);
  if (type == "ByteLevel") {
    check_fields(value, {"add_prefix_space", "trim_offsets", "use_regex"}, place);
    return ByteLevel{json_field_or(value, "add_prefix_space", true, place),
                     json_field_or(value, "use_regex", true, place), false};
  }
  if (type == "Digits") {
    check_fields(value, {"individual_digits"}, place);
    return Digits{json_field_or(value, "individual_digits", false, place)};
  }
  if (type == "Punctuation") {
    check_fields(value, {"behavior"}, place);
    return Punctuation{behavior_named(json_field_or<std::string>(value, "behavior", "Isolated", place), place)};
  }
  require(type == "Whitespace" || type == "WhitespaceSplit", "{}: pre_tokenizer type \"{}\" is not supported", source,
          type);
  check_fields(value, {}, place);
  if (type == "Whitespace") return Whitespace{};
  return WhitespaceSplit{};
}

PreTokenizer::Step PreTokenizer::read_split(const LookupJson& value, const std::string& place) {
  check_fields(value, {"pattern", "behavior", "invert"}, place);
  const auto pattern = json_field<LookupJson>(value, "pattern", place);
  const bool is_regex = pattern.is_object() && pattern.contains("Regex") && pattern.at("Regex").is_string();
  Split split{std::nullopt, is_regex ? find_word_scanner(pattern.at("Regex").get<std::string>()) : nullptr,
              behavior_named(json_field<std::string>(value, "behavior", place), place),
              json_field_or(value, "invert", false, place), pattern == LookupJson{{"String", " "}}};
  if (split.scanner == nullptr) split.pattern.emplace(pattern_field(value, place));
  return split;
}

PreTokenizer::Step PreTokenizer::read_metaspace(const LookupJson& value, const std::string& place) {
  check_fields(value, {"replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"}, place);
  const auto scheme = json_field_or<std::string>(value, "prepend_scheme", "always", place);
  require(scheme == "first" || scheme == "never" || scheme == "always", "{}: prepend_scheme \"{}\" is not supported",
          place, scheme);
  const bool add_prefix_space = json_field_or(value, "add_prefix_space", true, place);
  require(add_prefix_space || !value.contains("prepend_scheme") || scheme == "never",
          "{}: add_prefix_space is false but prepend_scheme is \"{}\"", place, scheme);
  Metaspace::Prepend prepend = scheme == "first" ? Metaspace::Prepend::first : Metaspace::Prepend::always;
  if (scheme == "never" || !add_prefix_space) prepend = Metaspace::Prepend::never;
  return Metaspace{character_field(value, "replacement", place), prepend, json_field_or(value, "split", true, place)};
}

bool PreTokenizer::ends_words_after_letters() const {
  // Each step is a known pattern or cuts at characters that are no letters; none merges what was cut.
  bool cuts = false;
  for (const Step& step : steps_) {
    if (const auto* const split = std::get_if<Split>(&step)) {
      if (split->scanner == nullptr || split->behavior != SplitBehavior::isolated) return false;
      cuts = true;
    } else if (const auto* const byte_level = std::get_if<ByteLevel>(&step)) {
      if (byte_level->changes_alphabet) return false;
      cuts = cuts || byte_level->use_regex;
    } else if (!std::holds_alternative<Digits>(step)) {
      return false;
    }
  }
  return cuts;
}

bool PreTokenizer::cuts_at_blanks_only() const {
  if (steps_.empty()) return true;
  const auto* const split = std::get_if<Split>(&steps_.front());
  return steps_.size() == 1 &&
         (std::holds_alternative<Metaspace>(steps_.front()) || (split != nullptr && split->at_blanks));
}

void PreTokenizer::run(std::size_t index, std::string_view text, TextPlace place, const OnWord& on_word) const {
  if (index == steps_.size()) {
    if (!words_in_alphabet_) return on_word(text);
    std::string bytes;
    symbols_to_bytes(text, bytes);
    return on_word(bytes);
  }
  const auto next = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    const TextPlace part{place.begins || begin > 0, place.begins_document && begin == 0};
    run(index + 1, text.substr(begin, end - begin), part, on_word);
  };
  const auto cut = [&](SplitBehavior behavior, bool invert, const auto& for_each_span) {
    PieceMaker pieces(behavior, invert, next);
    for_each_span([&](const Span& span) { pieces.add(span); });
    pieces.finish();
  };
  const Step& step = steps_[index];
  if (const auto* const split = std::get_if<Split>(&step)) {
    cut(split->behavior, split->invert, [&](const auto& on_span) {
      if (split->scanner == nullptr) return split->pattern->for_each_span(text, on_span);
      for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = split->scanner(text, begin);
        on_span(Span{begin, end, true});
        begin = end;
      }
    });
  } else if (std::holds_alternative<ByteLevel>(step)) {
    run_byte_level(index, text, place, on_word);
  } else if (const auto* const digits = std::get_if<Digits>(&step)) {
    cut(digits->one_by_one ? SplitBehavior::isolated : SplitBehavior::contiguous, false,
        [&](const auto& on_span) { for_each_character_span(text, is_numeric, on_span); });
  } else if (const auto* const punctuation = std::get_if<Punctuation>(&step)) {
    cut(punctuation->behavior, false,
        [&](const auto& on_span) { for_each_character_span(text, is_punctuation, on_span); });
  } else if (std::holds_alternative<Whitespace>(step)) {
    cut(SplitBehavior::removed, true, [&](const auto& on_span) { for_each_word_or_signs(text, on_span); });
  } else if (std::holds_alternative<WhitespaceSplit>(step)) {
    cut(SplitBehavior::removed, false,
        [&](const auto& on_span) { for_each_character_span(text, is_white_space, on_span); });
  } else {
    run_metaspace(index, text, place, on_word);
  }
}

void PreTokenizer::run_byte_level(std::size_t index, std::string_view text, TextPlace place,
                                  const OnWord& on_word) const {
  const auto& step = std::get<ByteLevel>(steps_[index]);
  std::string prefixed;
  if (step.add_prefix_space && place.begins && text[0] != ' ') {
    prefixed = " ";
    prefixed += text;
    text = prefixed;
  }
  static const WordScanner scanner = find_word_scanner(gpt2_pattern);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = step.use_regex ? scanner(text, begin) : text.size();
    const std::string_view word = text.substr(begin, end - begin);
    const TextPlace part{place.begins || begin > 0, place.begins_document && begin == 0};
    if (step.changes_alphabet) {
      run(index + 1, in_byte_alphabet(word), part, on_word);
    } else {
      on_word(word);
    }
    begin = end;
  }
}

void PreTokenizer::run_metaspace(std::size_t index, std::string_view text, TextPlace place,
                                 const OnWord& on_word) const {
  const auto& step = std::get<Metaspace>(steps_[index]);
  const bool wants_prefix = step.prepend == Metaspace::Prepend::always ||
                            (step.prepend == Metaspace::Prepend::first && place.begins_document);
  std::string replaced;
  if (wants_prefix && place.begins && text[0] != ' ' && !text.starts_with(step.replacement)) {
    replaced = step.replacement;
  }
  for (const char c : text) c == ' ' ? replaced += step.replacement : replaced += c;
  // Each replacement begins a word.
  for (std::size_t begin = 0; begin < replaced.size();) {
    const std::size_t found = step.split ? replaced.find(step.replacement, begin + 1) : std::string::npos;
    const std::size_t end = std::min(found, replaced.size());
    const TextPlace part{place.begins || begin > 0, place.begins_document && begin == 0};
    run(index + 1, std::string_view(replaced).substr(begin, end - begin), part, on_word);
    begin = end;
  }
}

}  // namespace lookback
