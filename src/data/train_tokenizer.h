// Learns a tokenizer from texts: reads what prepare reads, and leaves a folder that load_tokenizer takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/input_files.h"
#include "lookback/stop.h"

namespace lookback {

enum class TokenizerKind {
  bpe,      // byte-level, with GPT-2's pattern: tokenizer.json (bpe_trainer.h)
  unigram,  // SentencePiece's: tokenizer.model (unigram_trainer.h)
};

struct TrainTokenizerConfig {
  std::vector<std::filesystem::path> inputs;
  InputRules rules;
  std::string field = "text";  // of JSON lines
  bool strict = false;         // the first broken document is an error
  TokenizerKind kind = TokenizerKind::bpe;
  std::int64_t vocab_size = 0;
  std::int64_t min_frequency = 2;  // of a pair that bpe merges
  std::string end_of_text = "<|endoftext|>";
  std::filesystem::path out;  // must not exist or be an empty folder
};

struct TrainTokenizerProgress {
  std::int64_t disk_bytes = 0, disk_bytes_total = 0;  // read
  std::int64_t text_bytes = 0;
  bool learning = false;        // all is read
  std::int64_t num_tokens = 0;  // of bpe, while it is learned
};

struct TrainTokenizerListener {
  std::function<void(const TrainTokenizerProgress&)> progress;
  std::function<void(const std::string&)> skipped;  // "file:line: reason" of a document left out
  // Asked while texts are read and while bpe is learned. SentencePiece does not ask while it learns.
  StopToken stop;
};

struct TrainTokenizerResult {
  bool interrupted = false;  // nothing was written
  std::filesystem::path file;
  std::int64_t vocab_size = 0;  // less than asked for where bpe found no further pair
  std::int64_t text_bytes = 0;
  std::int64_t num_inputs = 0, num_unknown_files = 0, num_not_read = 0, num_skipped = 0;
};

// The result depends on the texts and the options alone. `out` appears whole at the end or not at all. A document that
// breaks in its midst counts up to there. Throws Error for bad inputs or options, and when there is no text.
TrainTokenizerResult train_tokenizer(const TrainTokenizerConfig& config, const TrainTokenizerListener& listener);

}  // namespace lookback
