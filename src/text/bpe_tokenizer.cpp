#include "text/bpe_tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "core/error.h"
#include "core/files.h"
#include "text/character_classes.h"
#include "text/json_fields.h"
#include "text/utf8.h"
#include "text/word_cache.h"

namespace lookback {
namespace {

// Names by which the common files know the token that ends a text, the surest first.
constexpr std::array<const char*, 7> end_of_text_names{"<|endoftext|>",
                                                       "<|end_of_text|>",
                                                       "<|im_end|>",
                                                       "</s>",
                                                       "<eos>",
                                                       "<\xef\xbd\x9c"
                                                       "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                                       "[EOS]"};

std::uint64_t next_instance() {
  static std::atomic<std::uint64_t> count{0};
  return ++count;
}

WordCache& thread_cache(std::uint64_t instance) {
  thread_local WordCache cache;
  thread_local std::uint64_t owner = 0;
  if (owner != instance) {
    cache.clear();
    owner = instance;
  }
  return cache;
}

// Where the last character of `text` (not empty) begins; its last byte where that ends no valid character.
std::size_t last_character_begin(std::string_view text) {
  constexpr std::size_t longest_character = 4;
  for (std::size_t size = 1; size <= std::min(longest_character, text.size()); ++size) {
    if (utf8_character_size(text.substr(text.size() - size)) == size) return text.size() - size;
  }
  return text.size() - 1;
}

bool is_ascii_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

}  // namespace

BpeTokenizer::File BpeTokenizer::read(const std::filesystem::path& path) {
  File file{path.string(), read_file(path), {}};
  file.json = parse_lookup_json(file.content, file.source);
  require(file.json.is_object(), "{}: expected a tokenizer.json object", file.source);
  for (const auto& [key, value] : file.json.items()) {
    constexpr std::array<std::string_view, 9> known{"version",        "truncation", "padding",
                                                    "added_tokens",   "model",      "pre_tokenizer",
                                                    "post_processor", "decoder",    "normalizer"};
    require(std::ranges::find(known, key) != known.end(), "{}: the field \"{}\" is not supported", file.source, key);
    const bool shortens = key == "truncation" || key == "padding";
    require(!shortens || value.is_null(), "{}: {} {} is not supported", file.source, key, value.dump());
  }
  if (!file.json.contains("model")) fail_json_field(true, "model", file.source, "is missing");
  return file;
}

BpeTokenizer::BpeTokenizer(const std::filesystem::path& path, const TokenizerChoices& choices)
    : BpeTokenizer(read(path), choices) {}

BpeTokenizer::BpeTokenizer(File file, const TokenizerChoices& choices)
    : file_content_(std::move(file.content)),
      choices_(choices),
      instance_(next_instance()),
      normalizer_(file.json.value("normalizer", LookupJson()), file.source),
      pre_tokenizer_(file.json.value("pre_tokenizer", LookupJson()), file.source),
      model_(file.json.at("model"), pre_tokenizer_.is_byte_level(), file.source) {
  const Decoder decoder(file.json.value("decoder", LookupJson()), file.source);
  drops_leading_blank_ = decoder.drops_leading_blank();
  for (const std::optional<std::string>& token : model_.tokens()) {
    bytes_of_.push_back(token.has_value() ? std::optional(decoder.bytes_of(*token, false)) : std::nullopt);
  }
  read_added_tokens(file.json, decoder, file.source);
  end_of_text_id_ = find_end_of_text(choices_.end_of_text, file.source);
  may_be_cut_ = raw_tokens_.look_only_forward() && normalized_tokens_.look_only_forward() &&
                normalizer_.works_piecewise() && normalizer_.keeps_ascii_words();
  // What changes no id is no choice.
  TokenizerChoices effective = choices_;
  if (!has_special_) effective.no_special = false;
  if (!choices_.end_of_text.empty() && names_end_of_text(end_of_text_id_)) effective.end_of_text.clear();
  fingerprint_ = tokenizer_fingerprint(file_content_, effective);
}

void BpeTokenizer::read_added_tokens(const LookupJson& file, const Decoder& decoder, const std::string& source) {
  const LookupJson added = file.value("added_tokens", LookupJson::array());
  require(added.is_array(), "{}: added_tokens: expected a list", source);
  constexpr std::size_t most = 100'000;  // real files have some thousands
  require(added.size() <= most, "{}: added_tokens: {} of them; at most {} are supported", source, added.size(), most);
  for (const LookupJson& token : added) add_token(token, decoder, source + ": added_tokens");
  raw_tokens_.ignore_special(choices_.no_special);
  normalized_tokens_.ignore_special(choices_.no_special);
}

void BpeTokenizer::add_token(const LookupJson& value, const Decoder& decoder, const std::string& place) {
  const auto content = json_field<std::string>(value, "content", place);
  const auto id = json_field<std::int64_t>(value, "id", place);
  require(!content.empty(), "{}: a token without content", place);
  require(id >= 0 && id <= BpeModel::largest_id, "{}: the id {} of \"{}\" is out of range", place, id, content);
  check_fields(value, {"content", "id", "single_word", "lstrip", "rstrip", "normalized", "special"}, place);
  const auto index = static_cast<std::size_t>(id);
  if (index >= is_added_.size()) is_added_.resize(index + 1);
  if (index < model_.tokens().size() && model_.tokens()[index].has_value()) {
    require(*model_.tokens()[index] == content, "{}: id {} of \"{}\" is that of \"{}\" in vocab", place, id, content,
            *model_.tokens()[index]);
  }
  const std::optional<std::int32_t> in_vocabulary = model_.id_of(content);
  require(!in_vocabulary.has_value() || *in_vocabulary == id, "{}: \"{}\" has id {} here and {} in vocab", place,
          content, id, in_vocabulary.value_or(0));
  const auto [same_content, is_content_new] = added_.emplace(content, static_cast<std::int32_t>(id));
  require(is_content_new || same_content->second == id, "{}: \"{}\" has the ids {} and {}", place, content,
          same_content->second, id);
  require(!is_content_new || !is_added_[index], "{}: two tokens have id {}, one of them \"{}\"", place, id, content);
  is_added_[index] = true;
  if (!is_content_new) return;
  if (index >= bytes_of_.size()) bytes_of_.resize(index + 1);
  bytes_of_[index] = decoder.bytes_of(content, true);
  AddedToken token{content,
                   static_cast<std::int32_t>(id),
                   json_field_or(value, "single_word", false, place),
                   json_field_or(value, "lstrip", false, place),
                   json_field_or(value, "rstrip", false, place),
                   json_field_or(value, "normalized", false, place),
                   json_field_or(value, "special", false, place)};
  has_special_ = has_special_ || token.special;
  if (!token.normalized) return raw_tokens_.add(std::move(token));
  normalizer_.apply(token.content, true);
  if (!token.content.empty()) normalized_tokens_.add(std::move(token));
}

bool BpeTokenizer::names_end_of_text(std::int32_t id) const { return default_end_of_text() == id; }

std::optional<std::int32_t> BpeTokenizer::default_end_of_text() const {
  for (const char* name : end_of_text_names) {
    const auto found = added_.find(name);
    if (found != added_.end()) return found->second;
  }
  return std::nullopt;
}

std::int32_t BpeTokenizer::find_end_of_text(const std::string& chosen, const std::string& source) const {
  if (chosen.empty()) {
    const std::optional<std::int32_t> found = default_end_of_text();
    require(found.has_value(), "{}: no added token ends a text ({}); say which one does (end-of-text)", source,
            fmt::join(end_of_text_names, ", "));
    return *found;
  }
  const auto added = added_.find(chosen);
  if (added != added_.end()) return added->second;
  const std::optional<std::int32_t> found = model_.id_of(chosen);
  require(found.has_value(), "{}: has no token \"{}\" to end a text with", source, chosen);
  return *found;
}

void BpeTokenizer::encode_text(std::string_view text, bool begins, std::vector<std::int32_t>& ids) const {
  raw_tokens_.split(
      text,
      [&](std::string_view part) {
        const bool is_first = part.data() == text.data();
        encode_part(part, {begins || !is_first, begins && is_first}, ids);
      },
      [&](std::int32_t id) { ids.push_back(id); });
}

void BpeTokenizer::encode_part(std::string_view text, TextPlace place, std::vector<std::int32_t>& ids) const {
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    if (valid > 0) encode_valid(text.substr(0, valid), place, ids);
    text.remove_prefix(valid);
    if (text.empty()) return;
    model_.encode_invalid_byte(static_cast<unsigned char>(text[0]), ids);
    text.remove_prefix(1);
    place = {false, false};
  }
}

void BpeTokenizer::encode_valid(std::string_view text, TextPlace place, std::vector<std::int32_t>& ids) const {
  std::string normalized;
  if (!normalizer_.is_empty()) {
    normalized = text;
    normalizer_.apply(normalized, place.begins);
    text = normalized;
  }
  normalized_tokens_.split(
      text,
      [&](std::string_view part) {
        const bool is_first = part.data() == text.data();
        pre_tokenizer_.split(part, {place.begins || !is_first, place.begins_document && is_first},
                             [&](std::string_view word) { encode_word(word, ids); });
      },
      [&](std::int32_t id) { ids.push_back(id); });
}

void BpeTokenizer::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  WordCache& cache = thread_cache(instance_);
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = model_.part_end(word, begin);
    const std::string_view part = word.substr(begin, end - begin);
    const std::span<const std::int32_t> known = cache.find(part);
    if (!known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
    } else {
      const std::size_t before = ids.size();
      model_.encode_word(part, ids);
      cache.insert(part, std::span(ids).subspan(before));
    }
    begin = end;
  }
}

void BpeTokenizer::decode(std::int32_t id, std::string& text) const {
  require(id >= 0 && id < vocab_size(), "token id {}: expected 0 to {}", id, vocab_size() - 1);
  text += bytes_of_[static_cast<std::size_t>(id)].value_or("");
}

std::vector<std::int32_t> BpeTokenizer::unused_ids() const {
  std::vector<std::int32_t> unused;
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    if (!bytes_of_[static_cast<std::size_t>(id)].has_value()) unused.push_back(id);
  }
  return unused;
}

std::size_t BpeTokenizer::safe_prefix(std::string_view text) const {
  if (!may_be_cut_) return 0;
  if (pre_tokenizer_.ends_words_after_letters()) return safe_prefix_at_letters(text);
  return pre_tokenizer_.cuts_at_blanks_only() ? safe_prefix_at_blanks(text) : 0;
}

std::size_t BpeTokenizer::safe_prefix_at_letters(std::string_view text) const {
  const auto may_end = [&](std::string_view before, std::string_view behind) {
    // What a normalizer does beyond ASCII may look at both.
    if (!normalizer_.is_empty()) {
      return is_ascii_letter(before[0]) && static_cast<unsigned char>(behind[0]) < 0x80 && !is_ascii_letter(behind[0]);
    }
    return utf8_character_size(before) == before.size() && is_letter(character_at(before, 0).code) &&
           !is_letter(character_at(behind, 0).code);
  };
  for (std::size_t end = text.size(); end > 0;) {  // of the last whole character that was not looked at
    const std::size_t begin = last_character_begin(text.substr(0, end));
    const std::string_view behind = text.substr(end);
    if (utf8_character_size(behind) > 0 && !raw_tokens_.have_pair(text[end - 1], behind[0]) &&
        !normalized_tokens_.have_pair(text[end - 1], behind[0]) && may_end(text.substr(begin, end - begin), behind)) {
      return end;
    }
    end = begin;
  }
  return 0;
}

std::size_t BpeTokenizer::safe_prefix_at_blanks(std::string_view text) const {
  constexpr char first_of_blank = '\xE2';  // of U+2581
  for (std::size_t i = text.size(); i > 2; --i) {
    const char letter = text[i - 3];
    if (text[i - 2] == ' ' && is_ascii_letter(letter) && is_ascii_letter(text[i - 1]) &&
        !raw_tokens_.have_pair(letter, ' ') && !normalized_tokens_.have_pair(letter, first_of_blank) &&
        cuts_before_blank(text.substr(i - 3, 3))) {
      return i - 2;
    }
  }
  return 0;
}

bool BpeTokenizer::cuts_before_blank(std::string_view letter_blank_letter) const {
  std::string normalized(letter_blank_letter);
  normalizer_.apply(normalized, false);
  std::vector<std::string> words;
  pre_tokenizer_.split(normalized, {false, false}, [&](std::string_view word) { words.emplace_back(word); });
  if (words.size() == 2) return is_ascii_letter(words[0][0]) && words[0].size() == 1 && words[1].size() == 4;
  constexpr std::size_t size = 5;  // of a letter, U+2581, and a letter
  if (words.size() != 1 || words[0].size() != size) return false;
  const std::string_view word = words[0];
  return model_.may_be_cut_between(word.substr(0, 1), word.substr(1, 3));
}

void BpeTokenizer::save(const std::filesystem::path& folder) const {
  write_file_atomic(folder / file_name, file_content_);
  write_tokenizer_choices(folder, choices_);
}

}  // namespace lookback
