#include "text/bpe_tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>

#include "core/error.h"
#include "core/files.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"
#include "text/word_cache.h"

namespace lookback {
namespace {

constexpr std::int64_t largest_id = 10'000'000;

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

std::string type_of(const LookupJson& value, const std::string& source) {
  return json_field<std::string>(value, "type", source);
}

// Where the last character of `text` (not empty) begins; its last byte where that ends no valid character.
std::size_t last_character_begin(std::string_view text) {
  constexpr std::size_t longest_character = 4;
  for (std::size_t size = 1; size <= std::min(longest_character, text.size()); ++size) {
    if (utf8_character_size(text.substr(text.size() - size)) == size) return text.size() - size;
  }
  return text.size() - 1;
}

bool is_letter(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (first >= 0x80) return utf8_character_size(character) == character.size() && WordSplitter::is_letter(character);
  return (first | 0x20) >= 'a' && (first | 0x20) <= 'z';
}

void require_absent(const LookupJson& value, const char* key, const std::string& source) {
  const bool absent = !value.contains(key) || value.at(key).is_null() || value.at(key) == LookupJson("") ||
                      value.at(key) == false || value.at(key) == 0.0;
  require(absent, "{}: {} {} is not supported", source, key, absent ? "" : value.at(key).dump());
}

}  // namespace

BpeTokenizer::BpeTokenizer(const std::filesystem::path& path)
    : file_content_(read_file(path)), instance_(next_instance()) {
  const std::string source = path.string();
  const LookupJson file = parse_lookup_json(file_content_, source);
  require(file.is_object(), "{}: expected a tokenizer.json object", source);
  fingerprint_ = fmt::format("{:016x}", XXH3_64bits(file_content_.data(), file_content_.size()));
  const auto model = json_field<LookupJson>(file, "model", source);
  const auto model_type = json_field_or<std::string>(model, "type", "BPE", source);
  require(model_type == "BPE", "{}: model type \"{}\" is not supported; only byte-level BPE is", source, model_type);
  for (const char* key : {"truncation", "padding"}) require_absent(file, key, source);
  // unk_token and byte_fallback never come into play: every byte is in the vocabulary.
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    require_absent(model, key, source);
  }
  const LookupJson normalizer = file.value("normalizer", LookupJson());
  require(normalizer.is_null(), "{}: normalizer type \"{}\" is not supported", source,
          normalizer.is_null() ? "" : type_of(normalizer, source));
  ignore_merges_ = json_field_or(model, "ignore_merges", false, source);
  read_pre_tokenizer(file.value("pre_tokenizer", LookupJson()), source);
  const LookupJson decoder = file.value("decoder", LookupJson());
  const std::string decoder_type = decoder.is_null() ? "none" : type_of(decoder, source + ": decoder");
  require(decoder_type == "ByteLevel", "{}: decoder type \"{}\" is not supported; only ByteLevel is", source,
          decoder_type);
  read_vocabulary(model, source);
  read_merges(model, source);
  read_added_tokens(file, source);
  find_end_of_text(source);
}

void BpeTokenizer::read_vocabulary(const LookupJson& model, const std::string& source) {
  const auto vocabulary = json_field<LookupJson>(model, "vocab", source);
  require(vocabulary.is_object() && !vocabulary.empty(), "{}: vocab: expected a mapping of tokens to ids", source);
  for (const auto& [symbols, value] : vocabulary.items()) {
    require(value.is_number_integer(), "{}: vocab: the id of \"{}\" is no integer", source, symbols);
    const auto id = value.get<std::int64_t>();
    require(id >= 0 && id <= largest_id, "{}: vocab: the id {} of \"{}\" is out of range", source, id, symbols);
    std::string bytes;
    // Entries outside the byte alphabet (added tokens that are here too) stand for themselves; no merge makes them.
    const bool in_alphabet = symbols_to_bytes(symbols, bytes);
    if (!in_alphabet) bytes = symbols;
    const auto index = static_cast<std::size_t>(id);
    if (index >= bytes_of_.size()) bytes_of_.resize(index + 1);
    require(!bytes_of_[index].has_value(), "{}: vocab: id {} is there twice", source, id);
    bytes_of_[index] = bytes;
    if (in_alphabet) vocabulary_.emplace(bytes, static_cast<std::int32_t>(id));
  }
  for (unsigned byte = 0; byte < id_of_byte_.size(); ++byte) {
    const auto found = vocabulary_.find(std::string(1, static_cast<char>(byte)));
    require(found != vocabulary_.end(), "{}: vocab: lacks byte {}: not a byte-level vocabulary", source, byte);
    id_of_byte_[byte] = found->second;
  }
}

void BpeTokenizer::read_merges(const LookupJson& model, const std::string& source) {
  const auto merges = json_field<LookupJson>(model, "merges", source);
  require(merges.is_array(), "{}: merges: expected a list", source);
  std::int32_t rank = 0;
  const auto id_of = [&](const std::string& symbols) {
    std::string bytes;
    const auto found = symbols_to_bytes(symbols, bytes) ? vocabulary_.find(bytes) : vocabulary_.end();
    require(found != vocabulary_.end(), "{}: merge {} needs the token \"{}\", which vocab lacks", source, rank,
            symbols);
    return found->second;
  };
  for (const LookupJson& merge : merges) {
    std::string left;
    std::string right;
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const std::size_t blank = text.find(' ');
      require(blank != std::string::npos, "{}: merge {} is no pair: \"{}\"", source, rank, text);
      left = text.substr(0, blank);
      right = text.substr(blank + 1);
    } else {
      require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
              "{}: merge {} is no pair of tokens", source, rank);
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    const std::int32_t left_id = id_of(left);
    const std::int32_t right_id = id_of(right);
    merges_.add(left_id, right_id, rank, id_of(left + right));
    ++rank;
  }
}

void BpeTokenizer::read_added_tokens(const LookupJson& file, const std::string& source) {
  const LookupJson added = file.value("added_tokens", LookupJson::array());
  require(added.is_array(), "{}: added_tokens: expected a list", source);
  for (const LookupJson& token : added) {
    const std::string place = source + ": added_tokens";
    const auto content = json_field<std::string>(token, "content", place);
    const auto id = json_field<std::int64_t>(token, "id", place);
    require(!content.empty(), "{}: a token without content", place);
    require(id >= 0 && id <= largest_id, "{}: the id {} of \"{}\" is out of range", place, id, content);
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
      require(!json_field_or(token, flag, false, place), "{}: \"{}\": {} is not supported", place, content, flag);
    }
    const auto index = static_cast<std::size_t>(id);
    if (index >= bytes_of_.size()) bytes_of_.resize(index + 1);
    bytes_of_[index] = content;
    for (const char byte : content.substr(1)) inside_added_token_[static_cast<unsigned char>(byte)] = true;
    added_tokens_.add({content, static_cast<std::int32_t>(id), json_field_or(token, "normalized", false, place)});
  }
}

void BpeTokenizer::read_pre_tokenizer(const LookupJson& value, const std::string& source) {
  require(value.is_object(), "{}: pre_tokenizer: only byte-level ones are supported, found none", source);
  const std::string type = type_of(value, source);
  if (type == "ByteLevel") {
    add_prefix_space_ = json_field_or(value, "add_prefix_space", true, source);
    if (json_field_or(value, "use_regex", true, source)) splitter_.emplace(WordSplitter::gpt2_pattern(), source);
    return;
  }
  require(type == "Sequence", "{}: pre_tokenizer type \"{}\" is not supported", source, type);
  const auto parts = json_field<LookupJson>(value, "pretokenizers", source);
  require(parts.is_array(), "{}: pre_tokenizer Sequence: pretokenizers: expected a list", source);
  std::vector<std::string> types;
  for (const LookupJson& part : parts) types.push_back(type_of(part, source + ": pre_tokenizer Sequence"));
  require(types == std::vector<std::string>{"Split", "ByteLevel"},
          "{}: pre_tokenizer Sequence of {} is not supported; only Split, then ByteLevel is", source,
          fmt::join(types, ", "));
  require(!json_field_or(parts[1], "use_regex", true, source),
          "{}: pre_tokenizer: ByteLevel with use_regex after a Split is not supported", source);
  const auto behavior = json_field<std::string>(parts[0], "behavior", source);
  require(behavior == "Isolated" && !json_field_or(parts[0], "invert", false, source),
          "{}: pre_tokenizer Split: only behavior \"Isolated\" without invert is supported", source);
  require(!json_field_or(parts[1], "add_prefix_space", true, source),
          "{}: pre_tokenizer: add_prefix_space after a Split is not supported", source);
  const auto pattern = json_field<LookupJson>(parts[0], "pattern", source);
  splitter_.emplace(json_field<std::string>(pattern, "Regex", source + ": pre_tokenizer Split pattern"), source);
}

void BpeTokenizer::find_end_of_text(const std::string& source) {
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>", "<eos>"}) {
    for (const AddedToken& token : added_tokens_.tokens()) {
      if (token.content == name) {
        end_of_text_id_ = token.id;
        return;
      }
    }
  }
  fail("{}: no added token ends a text (<|endoftext|>, <|end_of_text|>, <|im_end|>, </s> or <eos>)", source);
}

void BpeTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  added_tokens_.split(
      text, [&](std::string_view part) { encode_prefixed(part, ids); },
      [&](const AddedToken& token) { ids.push_back(token.id); });
}

void BpeTokenizer::encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  added_tokens_.split(
      text,
      [&](std::string_view part) {
        const bool is_first = part.data() == text.data();
        is_first ? encode_plain(part, ids) : encode_prefixed(part, ids);
      },
      [&](const AddedToken& token) { ids.push_back(token.id); });
}

void BpeTokenizer::encode_prefixed(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (!add_prefix_space_ || text[0] == ' ') {
    encode_plain(text, ids);
    return;
  }
  std::string prefixed = " ";
  prefixed += text;
  encode_plain(prefixed, ids);
}

void BpeTokenizer::encode_plain(std::string_view text, std::vector<std::int32_t>& ids) const {
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    encode_words(text.substr(0, valid), ids);
    text.remove_prefix(valid);
    if (text.empty()) return;
    ids.push_back(id_of_byte_[static_cast<unsigned char>(text[0])]);
    text.remove_prefix(1);
  }
}

void BpeTokenizer::encode_words(std::string_view valid_text, std::vector<std::int32_t>& ids) const {
  WordCache& cache = thread_cache(instance_);
  for (std::size_t begin = 0; begin < valid_text.size();) {
    const std::size_t end = splitter_.has_value() ? splitter_->word_end(valid_text, begin) : valid_text.size();
    const std::string_view word = valid_text.substr(begin, end - begin);
    const std::span<const std::int32_t> known = cache.find(word);
    if (!known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
    } else {
      const std::size_t before = ids.size();
      encode_word(word, ids);
      cache.insert(word, std::span(ids).subspan(before));
    }
    begin = end;
  }
}

void BpeTokenizer::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    const auto whole = vocabulary_.find(std::string(word));
    if (whole != vocabulary_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  thread_local std::vector<std::int32_t> symbols;
  symbols.clear();
  for (const char byte : word) symbols.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
  merges_.apply(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
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
  if (!splitter_.has_value() || !splitter_->ends_words_after_letters()) return 0;
  for (std::size_t end = text.size(); end > 0;) {  // of the last whole character that was not looked at
    const std::size_t begin = last_character_begin(text.substr(0, end));
    const std::string_view behind = text.substr(end);
    const std::size_t next_size = utf8_character_size(behind);
    if (next_size > 0 && !inside_added_token_[static_cast<unsigned char>(behind[0])] &&
        !is_letter(behind.substr(0, next_size)) && is_letter(text.substr(begin, end - begin))) {
      return end;
    }
    end = begin;
  }
  return 0;
}

void BpeTokenizer::save(const std::filesystem::path& folder) const {
  write_file_atomic(folder / file_name, file_content_);
}

}  // namespace lookback
