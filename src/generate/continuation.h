// The new tokens of one sequence: what is drawn, what of it is shown, and when it ends.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "generate/sampling.h"
#include "generate/stop_strings.h"
#include "lookback/generate.h"
#include "models/config.h"
#include "text/tokenizer.h"
#include "text/utf8_stream.h"

namespace lookback {

// New ids as text for people: bytes, less stop strings, as whole characters.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings)
      : tokenizer_(&tokenizer), stops_(stop_strings) {}

  std::string push(std::int64_t id);
  std::string finish() { return characters_.push(stops_.finish()) + characters_.flush(); }
  bool stopped() const { return stops_.stopped(); }

 private:
  const Tokenizer* tokenizer_;
  StopStrings stops_;
  Utf8Stream characters_;
};

class Continuation {
 public:
  // tokenizer: nullptr gives ids only. on_token, on_text: as GenerateListener's.
  Continuation(const ModelConfig& config, const Tokenizer* tokenizer, std::span<const std::int64_t> text_before,
               const StopRules& rules, const SamplingConfig& sampling, Random random,
               std::function<void(std::int64_t)> on_token, std::function<void(std::string_view)> on_text);

  // Takes the next token from its logits [vocab_size], which are changed.
  void take(std::span<float> logits);
  void interrupt() { end(StopReason::interrupted); }

  bool ended() const { return ended_; }
  StopReason stop_reason() const { return stop_reason_; }
  const std::vector<std::int64_t>& ids() const { return ids_; }
  const std::string& text() const { return text_; }

 private:
  void show(const std::string& released);
  void end(StopReason reason);
  void see(std::int64_t id);

  const Tokenizer* tokenizer_;
  StopRules rules_;
  SamplingConfig sampling_;
  Random random_;
  std::function<void(std::int64_t)> on_token_;
  std::function<void(std::string_view)> on_text_;
  std::optional<TextStream> stream_;
  std::vector<std::int64_t> forbidden_;
  std::vector<bool> is_seen_;           // of each id: whether it is in the text
  std::vector<std::int64_t> seen_ids_;  // the same ids, each once
  std::vector<std::int64_t> ids_;
  std::string text_;
  bool ended_ = false;
  StopReason stop_reason_ = StopReason::max_new_tokens;
};

// Ids that must never be sampled, in order: the landmark of a model that has one, and rows of the embedding that no
// token of the tokenizer (nullptr: none) has, be they holes in its vocabulary or behind it.
std::vector<std::int64_t> forbidden_ids(const ModelConfig& config, const Tokenizer* tokenizer);

}  // namespace lookback
