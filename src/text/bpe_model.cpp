#include "text/bpe_model.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "text/byte_alphabet.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace lookback {
namespace {

constexpr std::string_view blank = "\xE2\x96\x81";  // U+2581, which stands for a blank
constexpr std::int32_t none = -1;

void require_unset(const LookupJson& value, const char* key, const std::string& source) {
  const bool unset =
      !value.contains(key) || value.at(key).is_null() || value.at(key) == LookupJson("") || value.at(key) == 0.0;
  require(unset, "{}: {} {} is not supported", source, key, unset ? "" : value.at(key).dump());
}

}  // namespace

BpeModel::BpeModel(const LookupJson& value, bool byte_level, const std::string& source) : byte_level_(byte_level) {
  require(value.is_object(), "{}: model: expected an object", source);
  const auto type = json_field_or<std::string>(value, "type", "BPE", source);
  require(type == "BPE", "{}: model type \"{}\" is not supported; only BPE is", source, type);
  check_fields(value,
               {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
                "ignore_merges", "vocab", "merges"},
               source + ": model");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    require_unset(value, key, source);
  }
  byte_fallback_ = json_field_or(value, "byte_fallback", false, source);
  fuse_unknown_ = json_field_or(value, "fuse_unk", false, source);
  ignore_merges_ = json_field_or(value, "ignore_merges", false, source);
  read_vocabulary(value, source);
  read_unknown_token(value, source);
  read_merges(value, source);
}

void BpeModel::read_vocabulary(const LookupJson& value, const std::string& source) {
  if (!value.contains("vocab")) fail_json_field(true, "vocab", source, "is missing");
  const LookupJson& vocabulary = value.at("vocab");
  require(vocabulary.is_object() && !vocabulary.empty(), "{}: vocab: expected a mapping of tokens to ids", source);
  for (const auto& [token, number] : vocabulary.items()) {
    require(number.is_number_integer(), "{}: vocab: the id of \"{}\" is no integer", source, token);
    const auto id = number.is_number_unsigned() && number.get<std::uint64_t>() > largest_id
                        ? largest_id + 1
                        : number.get<std::int64_t>();
    require(id >= 0 && id <= largest_id, "{}: vocab: the id {} of \"{}\" is out of range (0 to {})", source,
            number.dump(), token, largest_id);
    const auto index = static_cast<std::size_t>(id);
    if (index >= tokens_.size()) tokens_.resize(index + 1);
    require(!tokens_[index].has_value(), "{}: vocab: id {} is there twice", source, id);
    tokens_[index] = token;
    vocabulary_.emplace(token, static_cast<std::int32_t>(id));
  }
  for (unsigned byte = 0; byte < id_of_byte_.size(); ++byte) {
    const std::string token =
        byte_level_ ? byte_symbol(static_cast<unsigned char>(byte)) : fmt::format("<0x{:02X}>", byte);
    id_of_byte_[byte] = id_of(token).value_or(none);
    require(!byte_level_ || id_of_byte_[byte] != none, "{}: vocab: lacks byte {}: not a byte-level vocabulary", source,
            byte);
  }
}

void BpeModel::read_unknown_token(const LookupJson& value, const std::string& source) {
  const auto token = json_field_or<std::string>(value, "unk_token", "", source);
  if (token.empty() || byte_level_) return;  // every byte is in the vocabulary
  const auto found = id_of(token);
  require(found.has_value(), "{}: unk_token \"{}\" is not in vocab", source, token);
  unknown_id_ = *found;
}

void BpeModel::read_merges(const LookupJson& value, const std::string& source) {
  if (!value.contains("merges")) fail_json_field(true, "merges", source, "is missing");
  const LookupJson& merges = value.at("merges");
  require(merges.is_array(), "{}: merges: expected a list", source);
  std::int32_t rank = 0;
  for (const LookupJson& merge : merges) {
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const std::size_t space = text.find(' ');
      require(space != std::string::npos && text.find(' ', space + 1) == std::string::npos,
              "{}: merge {} is no pair: \"{}\"", source, rank, text);
      add_merge(text.substr(0, space), text.substr(space + 1), rank, source);
    } else {
      require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
              "{}: merge {} is no pair of tokens", source, rank);
      add_merge(merge[0].get<std::string>(), merge[1].get<std::string>(), rank, source);
    }
    ++rank;
  }
}

void BpeModel::add_merge(const std::string& left, const std::string& right, std::int32_t rank,
                         const std::string& source) {
  const auto known_id = [&](const std::string& token) {
    const auto found = id_of(token);
    require(found.has_value(), "{}: merge {} needs the token \"{}\", which vocab lacks", source, rank, token);
    return *found;
  };
  const std::int32_t left_id = known_id(left);
  const std::int32_t right_id = known_id(right);
  merges_.add(left_id, right_id, rank, known_id(left + right));
  if (!byte_level_) note_blanks_inside(left + right);
}

void BpeModel::note_blanks_inside(std::string_view token) {
  for (std::size_t found = token.find(blank); found != std::string_view::npos; found = token.find(blank, found + 1)) {
    if (found == 0) continue;
    const std::size_t before = previous_character(token, found);
    before_blank_.emplace(token.substr(before, found - before));
  }
}

std::optional<std::int32_t> BpeModel::id_of(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? std::nullopt : std::optional(found->second);
}

bool BpeModel::may_be_cut_between(std::string_view character, std::string_view next) const {
  return next == blank && !before_blank_.contains(character) && vocabulary_.contains(blank) &&
         vocabulary_.contains(character);
}

std::size_t BpeModel::part_end(std::string_view word, std::size_t begin) const {
  if (byte_level_ || ignore_merges_) return word.size();
  for (std::size_t found = word.find(blank, begin + 1); found != std::string_view::npos;
       found = word.find(blank, found + 1)) {
    const std::size_t before = previous_character(word, found);
    if (may_be_cut_between(word.substr(before, found - before), blank)) return found;
  }
  return word.size();
}

void BpeModel::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  thread_local std::vector<std::int32_t> symbols;
  symbols.clear();
  if (byte_level_) {
    if (ignore_merges_) {
      std::string token;
      for (const char byte : word) token += byte_symbol(static_cast<unsigned char>(byte));
      const auto whole = id_of(token);
      if (whole.has_value()) return ids.push_back(*whole);
    }
    for (const char byte : word) symbols.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
  } else {
    const auto whole = ignore_merges_ ? id_of(word) : std::nullopt;
    if (whole.has_value()) return ids.push_back(*whole);
    std::int32_t waiting = none;  // an unknown token that may still take in the next unknown character
    for (std::size_t position = 0; position < word.size();) {
      const std::string_view character = word.substr(position, character_at(word, position).size);
      position += character.size();
      const auto found = vocabulary_.find(character);
      if (found == vocabulary_.end()) {
        append_unknown(character, waiting, symbols);
        continue;
      }
      if (waiting != none) symbols.push_back(std::exchange(waiting, none));
      symbols.push_back(found->second);
    }
    if (waiting != none) symbols.push_back(waiting);
  }
  merges_.apply(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BpeModel::append_unknown(std::string_view character, std::int32_t& waiting,
                              std::vector<std::int32_t>& symbols) const {
  const auto id_of_byte = [&](char byte) { return id_of_byte_[static_cast<unsigned char>(byte)]; };
  const bool has_bytes =
      byte_fallback_ && std::ranges::all_of(character, [&](char byte) { return id_of_byte(byte) != none; });
  if (has_bytes) {
    // An unknown token that waits comes behind the bytes, as in the `tokenizers` package.
    for (const char byte : character) symbols.push_back(id_of_byte(byte));
    return;
  }
  if (unknown_id_ == none) return;
  if (waiting != none && !fuse_unknown_) symbols.push_back(waiting);
  waiting = unknown_id_;
}

void BpeModel::encode_invalid_byte(unsigned char byte, std::vector<std::int32_t>& ids) const {
  const bool has_byte = (byte_level_ || byte_fallback_) && id_of_byte_[byte] != none;
  const std::int32_t id = has_byte ? id_of_byte_[byte] : unknown_id_;
  if (id != none) ids.push_back(id);
}

}  // namespace lookback
