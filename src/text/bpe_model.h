// The byte-pair model of a tokenizer.json: its vocabulary and merges, and the ids of one word.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/json.h"
#include "text/merge_table.h"

namespace lookback {

class BpeModel {
 public:
  static constexpr std::int64_t largest_id = 2'000'000;  // real vocabularies end below 300'000

  // `value`: the field "model". byte_level: words are bytes, the vocabulary is written in GPT-2's alphabet. Throws
  // Error naming `source` and what is broken or not supported.
  BpeModel(const LookupJson& value, bool byte_level, const std::string& source);

  // Appends the ids of a word, which is not empty; valid UTF-8 unless the vocabulary is one of bytes.
  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  // Appends the ids of a byte that is part of no character: its own, or that of the unknown token, or none.
  void encode_invalid_byte(unsigned char byte, std::vector<std::int32_t>& ids) const;

  // The end of the part of a word that begins at `begin` and may be encoded by itself: no merge reaches over it.
  std::size_t part_end(std::string_view word, std::size_t begin) const;

  // Whether a word may be cut behind a character before another.
  bool may_be_cut_between(std::string_view character, std::string_view next) const;

  // The tokens as the file writes them, by id; nothing for ids that it skips.
  const std::vector<std::optional<std::string>>& tokens() const { return tokens_; }
  // The id of a token as the file writes it.
  std::optional<std::int32_t> id_of(std::string_view token) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void read_vocabulary(const LookupJson& value, const std::string& source);
  void read_merges(const LookupJson& value, const std::string& source);
  void add_merge(const std::string& left, const std::string& right, std::int32_t rank, const std::string& source);
  void read_unknown_token(const LookupJson& value, const std::string& source);
  void note_blanks_inside(std::string_view token);
  void append_unknown(std::string_view character, std::int32_t& waiting, std::vector<std::int32_t>& symbols) const;

  bool byte_level_;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;  // a word that is itself a token is taken whole
  std::int32_t unknown_id_ = -1;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> vocabulary_;
  std::vector<std::optional<std::string>> tokens_;
  std::array<std::int32_t, 256> id_of_byte_{};  // byte-level: of each byte; else of <0x00> to <0xFF>, or -1
  std::unordered_set<std::string, Hash, std::equal_to<>> before_blank_;  // characters that a merge joins with U+2581
  MergeTable merges_;
};

}  // namespace lookback
