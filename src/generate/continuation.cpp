#include "generate/continuation.h"

#include <limits>
#include <set>
#include <utility>

namespace lookback {

std::string TextStream::push(std::int64_t id) {
  std::string bytes;
  tokenizer_->decode(static_cast<std::int32_t>(id), bytes);
  return characters_.push(stops_.push(bytes));
}

Continuation::Continuation(const ModelConfig& config, const Tokenizer* tokenizer,
                           std::span<const std::int64_t> text_before, const StopRules& rules,
                           const SamplingConfig& sampling, Random random, std::function<void(std::int64_t)> on_token,
                           std::function<void(std::string_view)> on_text)
    : tokenizer_(tokenizer),
      rules_(rules),
      sampling_(sampling),
      random_(random),
      on_token_(std::move(on_token)),
      on_text_(std::move(on_text)),
      forbidden_(forbidden_ids(config, tokenizer)),
      is_seen_(static_cast<std::size_t>(config.vocab_size)) {
  if (tokenizer != nullptr) stream_.emplace(*tokenizer, rules.stop_strings);
  for (const std::int64_t id : text_before) see(id);
  if (rules.max_new_tokens == 0) end(StopReason::max_new_tokens);
}

void Continuation::see(std::int64_t id) {
  if (is_seen_[static_cast<std::size_t>(id)]) return;
  is_seen_[static_cast<std::size_t>(id)] = true;
  seen_ids_.push_back(id);
}

void Continuation::show(const std::string& released) {
  if (released.empty()) return;
  text_ += released;
  if (on_text_) on_text_(released);
}

void Continuation::end(StopReason reason) {
  if (ended_) return;
  ended_ = true;
  stop_reason_ = reason;
  if (stream_) show(stream_->finish());
}

void Continuation::take(std::span<float> logits) {
  for (const std::int64_t id : forbidden_) {
    logits[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
  }
  const std::int64_t id = sample_token(logits, seen_ids_, sampling_, random_);
  see(id);
  ids_.push_back(id);
  if (on_token_) on_token_(id);
  const bool end_of_text = tokenizer_ != nullptr && id == tokenizer_->end_of_text_id();
  if (end_of_text && rules_.stop_at_end_of_text) {
    end(StopReason::end_of_text);
    return;
  }
  if (stream_) {
    show(stream_->push(id));
    if (stream_->stopped()) end(StopReason::stop_string);
  }
  if (static_cast<std::int64_t>(ids_.size()) == rules_.max_new_tokens) end(StopReason::max_new_tokens);
}

std::vector<std::int64_t> forbidden_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  std::set<std::int64_t> ids;
  if (config.has_landmarks()) ids.insert(config.landmark_id);
  if (tokenizer != nullptr) {
    for (const std::int32_t id : tokenizer->unused_ids()) ids.insert(id);
    for (std::int64_t id = tokenizer->vocab_size(); id < config.vocab_size; ++id) ids.insert(id);
  }
  return {ids.begin(), ids.end()};
}

}  // namespace lookback
