// Learns byte-level byte-pair encoding (Sennrich et al. 2016) from counted words: the same tokens and merges, in the
// same order, as the `tokenizers` package's BpeTrainer with ByteLevel's alphabet.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lookback/stop.h"

namespace lookback {

// How often each word (bytes, as GPT-2's pattern cuts text) occurs. Texts can be added in pieces that end at
// last_word_end (word_scanners.h).
class WordCounts {
 public:
  // Cuts valid UTF-8 into words and counts them.
  void add_text(std::string_view text);

  std::size_t num_words() const { return counts_.size(); }  // different ones

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Map = std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>>;
  const Map& counts() const { return counts_; }

 private:
  Map counts_;
};

struct BpeTrainingConfig {
  std::int64_t vocab_size = 0;              // special tokens and the 256 bytes included
  std::int64_t min_frequency = 2;           // of a pair that is merged
  std::vector<std::string> special_tokens;  // get the first ids
};

struct LearnedBpe {
  std::vector<std::string> tokens;  // by id: special ones, the 256 bytes and what was merged, in GPT-2's alphabet
  std::vector<std::pair<std::int32_t, std::int32_t>> merges;  // in the order in which they were learned
};

// Asked with the number of tokens so far.
using OnBpeProgress = std::function<void(std::int64_t num_tokens)>;

// Throws Error when vocab_size does not hold the special tokens and the bytes or is beyond all use, and when a special
// token is empty, a byte's, or comes twice.
void check_bpe_config(const BpeTrainingConfig& config);

// Each step merges the most frequent pair of neighbours within words; of equally frequent ones, that whose ids are
// smallest. Ends early, with a smaller vocabulary, when no pair is as frequent as min_frequency. What was learned so
// far when a stop is requested. Throws Error as check_bpe_config does.
LearnedBpe train_bpe(const WordCounts& words, const BpeTrainingConfig& config, const OnBpeProgress& progress,
                     const StopToken& stop);

// The text of a tokenizer.json with what was learned, as `tokenizers` and load_tokenizer read it.
std::string bpe_tokenizer_json(const LearnedBpe& learned, const std::vector<std::string>& special_tokens);

}  // namespace lookback
