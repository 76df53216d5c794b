// One thread reads, several tokenize, the caller takes the blocks in their order. Bounded: the text under way
// stays below a few MiB a thread (or one block, where that is larger).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/stop.h"
#include "data/block_tokenizer.h"

namespace lookback {

class TokenizePipeline {
 public:
  // `files` and `tokenizer` must live as long as the pipeline. num_threads >= 1 tokenize.
  TokenizePipeline(const std::vector<InputFile>& files, const InputPosition& start, const Tokenizer& tokenizer,
                   const std::string& field, int num_threads);
  // Stops all threads, whatever is under way.
  ~TokenizePipeline();
  TokenizePipeline(const TokenizePipeline&) = delete;
  TokenizePipeline& operator=(const TokenizePipeline&) = delete;

  // The next block in the order of the inputs; nothing at the end, or when a stop is requested while the block
  // is waited for. Rethrows what a thread threw, after all blocks before it.
  std::optional<TokenizedBlock> next(const StopToken& stop);

 private:
  struct Slot {
    TextBlock block;
    TokenizedBlock result;
    std::size_t text_bytes = 0;
    bool taken = false;
    bool done = false;
    std::exception_ptr error;
  };

  void read();
  void tokenize();

  const std::vector<InputFile>& files_;
  InputPosition start_;
  const Tokenizer& tokenizer_;
  std::string field_;
  // What may be under way between the files and the one who asks for blocks.
  const std::size_t limit_bytes_;
  const std::size_t limit_blocks_;

  std::mutex mutex_;  // guards what follows, up to the threads
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;  // in order; the front is the next to be given
  std::size_t bytes_under_way_ = 0;
  bool read_all_ = false;
  StopSource stop_;

  std::vector<std::thread> threads_;  // of the pipeline's owner: none of them looks at it
};

}  // namespace lookback
