#include "text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/error.h"
#include "core/json.h"
#include "text/byte_alphabet.h"
#include "text/word_scanners.h"

namespace lookback {
namespace {

using Pair = std::uint64_t;  // the left id above the right one: pairs compare as their ids do
using WordIndex = std::uint32_t;

Pair pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<Pair>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}
std::int32_t left_of(Pair pair) { return static_cast<std::int32_t>(pair >> 32); }
std::int32_t right_of(Pair pair) { return static_cast<std::int32_t>(pair & 0xFFFFFFFF); }

struct PairHash {
  std::size_t operator()(Pair pair) const {
    pair *= 0x9E3779B97F4A7C15;  // Fibonacci hashing: ids fill few of the bits
    return pair ^ pair >> 32;
  }
};

// A word's symbols, which only get fewer.
struct Word {
  std::int32_t* symbols;
  std::size_t size;
  std::int64_t count;
};

// A pair that may be merged, with the words that it was found in. Its count may be out of date.
struct Candidate {
  Pair pair;
  std::int64_t count;
  std::vector<WordIndex> words;
};

bool is_worse(const Candidate& a, const Candidate& b) {
  return a.count != b.count ? a.count < b.count : a.pair > b.pair;
}

// In the order of their code points, in which UTF-8 sorts, too.
std::vector<std::string> sorted_byte_symbols() {
  std::vector<std::string> symbols;
  for (int byte = 0; byte < 256; ++byte) symbols.push_back(byte_symbol(static_cast<unsigned char>(byte)));
  std::ranges::sort(symbols);
  return symbols;
}

class BpeTrainer {
 public:
  BpeTrainer(const WordCounts& words, const BpeTrainingConfig& config) : config_(config) {
    check_bpe_config(config);
    for (const std::string& token : config.special_tokens) add_token(token);
    for (const std::string& byte : sorted_byte_symbols()) add_token(byte);
    read_words(words);
  }

  LearnedBpe run(const OnBpeProgress& progress, const StopToken& stop) {
    count_pairs();
    while (num_tokens() < config_.vocab_size && !queue_.empty() && !stop.stop_requested()) {
      std::pop_heap(queue_.begin(), queue_.end(), is_worse);
      Candidate best = std::move(queue_.back());
      queue_.pop_back();
      if (const std::int64_t count = counts_.at(best.pair); count != best.count) {
        best.count = count;
        if (count > 0) push(std::move(best));
        continue;
      }
      if (best.count < config_.min_frequency) break;
      merge(best);
      if (progress) progress(num_tokens());
    }
    return std::move(learned_);
  }

 private:
  std::int64_t num_tokens() const { return static_cast<std::int64_t>(learned_.tokens.size()); }

  std::int32_t add_token(const std::string& token) {
    const auto [found, is_new] = ids_.emplace(token, static_cast<std::int32_t>(learned_.tokens.size()));
    if (is_new) learned_.tokens.push_back(token);
    return found->second;
  }

  void read_words(const WordCounts& words) {
    std::array<std::int32_t, 256> id_of_byte{};
    for (int byte = 0; byte < 256; ++byte) {
      id_of_byte.at(static_cast<std::size_t>(byte)) = ids_.at(byte_symbol(static_cast<unsigned char>(byte)));
    }
    std::size_t num_symbols = 0;
    for (const auto& [word, count] : words.counts()) num_symbols += word.size();
    symbols_.reserve(num_symbols);
    words_.reserve(words.num_words());
    for (const auto& [word, count] : words.counts()) {
      words_.push_back({symbols_.data() + symbols_.size(), word.size(), count});
      for (const char c : word) symbols_.push_back(id_of_byte.at(static_cast<unsigned char>(c)));
    }
  }

  void count_pairs() {
    for (WordIndex index = 0; index < words_.size(); ++index) {
      const Word& word = words_[index];
      for (std::size_t i = 0; i + 1 < word.size; ++i) {
        change(pair_of(word.symbols[i], word.symbols[i + 1]), word.count, index);
      }
    }
    push_changed();
  }

  // Words come one after another, so that a word that has the pair already is the last in its list.
  void change(Pair pair, std::int64_t count, WordIndex word) {
    counts_[pair] += count;
    if (count < 0) return;
    std::vector<WordIndex>& found = changed_[pair];
    if (found.empty() || found.back() != word) found.push_back(word);
  }

  void push(Candidate candidate) {
    queue_.push_back(std::move(candidate));
    std::push_heap(queue_.begin(), queue_.end(), is_worse);
  }

  void push_changed() {
    for (auto& [pair, found] : changed_) {
      if (const std::int64_t count = counts_.at(pair); count > 0) push({pair, count, std::move(found)});
    }
    changed_.clear();
  }

  void merge(const Candidate& best) {
    const std::int32_t left = left_of(best.pair);
    const std::int32_t right = right_of(best.pair);
    // A token that other merges make, too, keeps its id.
    const std::int32_t merged =
        add_token(learned_.tokens[static_cast<std::size_t>(left)] + learned_.tokens[static_cast<std::size_t>(right)]);
    learned_.merges.emplace_back(left, right);
    for (const WordIndex word : best.words) merge_in(word, left, right, merged);
    push_changed();
  }

  // From left to right, as the package counts: the changes of a pair's neighbours are those at its turn.
  void merge_in(WordIndex index, std::int32_t left, std::int32_t right, std::int32_t merged) {
    Word& word = words_[index];
    std::int32_t* const symbols = word.symbols;
    std::size_t size = 0;
    for (std::size_t i = 0; i < word.size; ++i) {
      if (symbols[i] != left || i + 1 == word.size || symbols[i + 1] != right) {
        symbols[size++] = symbols[i];
        continue;
      }
      if (size > 0) {
        change(pair_of(symbols[size - 1], left), -word.count, index);
        change(pair_of(symbols[size - 1], merged), word.count, index);
      }
      if (i + 2 < word.size) {
        change(pair_of(right, symbols[i + 2]), -word.count, index);
        change(pair_of(merged, symbols[i + 2]), word.count, index);
      }
      symbols[size++] = merged;
      ++i;
    }
    word.size = size;
  }

  const BpeTrainingConfig& config_;
  LearnedBpe learned_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<std::int32_t> symbols_;  // of all words
  std::vector<Word> words_;
  std::unordered_map<Pair, std::int64_t, PairHash> counts_;
  std::unordered_map<Pair, std::vector<WordIndex>, PairHash> changed_;  // more frequent since the last push
  std::vector<Candidate> queue_;                                        // a heap
};

Json byte_level_step(bool add_prefix_space) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", true}};
}

}  // namespace

void WordCounts::add_text(std::string_view text) {
  static const WordScanner word_end = find_word_scanner(gpt2_pattern);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    const auto found = counts_.find(word);
    if (found != counts_.end()) {
      ++found->second;
    } else {
      counts_.emplace(word, 1);
    }
    begin = end;
  }
}

void check_bpe_config(const BpeTrainingConfig& config) {
  constexpr std::int64_t largest_vocab_size = 1'000'000;
  std::vector<std::string> tokens = sorted_byte_symbols();
  for (const std::string& token : config.special_tokens) {
    require(!token.empty(), "a special token is empty");
    require(std::ranges::find(tokens, token) == tokens.end(), "the special token {} comes twice, or is a single byte",
            token);
    tokens.push_back(token);
  }
  require(config.vocab_size >= static_cast<std::int64_t>(tokens.size()) && config.vocab_size <= largest_vocab_size,
          "a vocabulary of {}: expected {} (the 256 bytes and the special tokens) to {}", config.vocab_size,
          tokens.size(), largest_vocab_size);
  require(config.min_frequency >= 1, "pairs that occur {} times or more: expected 1 or more", config.min_frequency);
}

LearnedBpe train_bpe(const WordCounts& words, const BpeTrainingConfig& config, const OnBpeProgress& progress,
                     const StopToken& stop) {
  return BpeTrainer(words, config).run(progress, stop);
}

std::string bpe_tokenizer_json(const LearnedBpe& learned, const std::vector<std::string>& special_tokens) {
  Json added = Json::array();
  for (std::size_t id = 0; id < special_tokens.size(); ++id) {
    added.push_back({{"id", id},
                     {"content", special_tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  Json vocabulary = Json::object();
  auto& entries = vocabulary.get_ref<Json::object_t&>();
  // Behind the last key without looking for it among all: a token comes once.
  for (std::size_t id = 0; id < learned.tokens.size(); ++id) entries.push_back({learned.tokens[id], id});
  // A pair that was merged twice has its later rank, as in the package's files.
  std::vector<Json> merges;
  std::unordered_map<Pair, bool> seen;
  for (std::size_t i = learned.merges.size(); i-- > 0;) {
    const auto [left, right] = learned.merges[i];
    if (!seen.emplace(pair_of(left, right), true).second) continue;
    merges.push_back({learned.tokens[static_cast<std::size_t>(left)], learned.tokens[static_cast<std::size_t>(right)]});
  }
  std::ranges::reverse(merges);
  const Json file = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level_step(false)},
                     {"post_processor", nullptr},
                     {"decoder", byte_level_step(true)},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", std::move(vocabulary)},
                       {"merges", std::move(merges)}}}};
  return file.dump(2) + "\n";
}

}  // namespace lookback
