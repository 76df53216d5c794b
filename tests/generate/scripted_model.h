// A model that says a given text, whatever the prompt is: for tests of what happens after the logits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// Hidden states are one-hot and the embedding is 20 times the identity. After the i-th token of a session the
// most probable next one is script[i - 1] (i from 1; the last entry over and over), the second best script[i
// - 1] + 1.
class ScriptedModel : public Model {
 public:
  // `kind`: "drt" has the landmark vocab_size - 1, "sliding-window" none.
  ScriptedModel(std::vector<std::int64_t> script, std::int64_t vocab_size, const std::string& kind)
      : Model(config_of(vocab_size, kind), at::kCPU, 1), script_(std::move(script)) {
    parameters_.freeze(at::kFloat);
    embedding_.copy_(20 * at::eye(vocab_size));
  }

  at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& /*options*/) override {
    return hidden_after(0, input_ids.size(1)).expand({input_ids.size(0), -1, -1});
  }

  std::unique_ptr<Session> new_session(std::int64_t batch_size, at::ScalarType /*dtype*/) override {
    return std::make_unique<ScriptedSession>(*this, batch_size);
  }

  // All tokens that sessions were given, in order.
  std::vector<std::int64_t> seen_ids;

 private:
  class ScriptedSession : public Session {
   public:
    ScriptedSession(ScriptedModel& model, std::int64_t num_sequences)
        : model_(model), num_tokens_(static_cast<std::size_t>(num_sequences)) {}
    at::Tensor append(const at::Tensor& input_ids) override {
      std::vector<at::Tensor> hidden;
      for (std::int64_t n = 0; n < input_ids.size(0); ++n) {
        std::int64_t& num_tokens = num_tokens_.at(static_cast<std::size_t>(n));
        hidden.push_back(model_.hidden_after(num_tokens, input_ids.size(1)));
        for (std::int64_t i = 0; i < input_ids.size(1); ++i) {
          const auto id = input_ids[n][i].item<std::int64_t>();
          if (id < 0) continue;
          model_.seen_ids.push_back(id);
          ++num_tokens;
        }
      }
      return at::cat(hidden);
    }
    at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override {
      for (std::int64_t first = 0; first < input_ids.size(1); first += options.segment_tokens) {
        append(input_ids.narrow(1, first, std::min(options.segment_tokens, input_ids.size(1) - first)));
        if (options.on_progress && !options.on_progress(num_tokens_.front())) fail("interrupted");
      }
      std::vector<at::Tensor> last;
      for (const std::int64_t num_tokens : num_tokens_) last.push_back(model_.hidden_after(num_tokens - 1, 1));
      return at::cat(last);
    }
    std::int64_t num_sequences() const override { return std::ssize(num_tokens_); }
    void select(const std::vector<std::int64_t>& rows) override {
      std::vector<std::int64_t> selected;
      for (const std::int64_t row : rows) selected.push_back(num_tokens_.at(static_cast<std::size_t>(row)));
      num_tokens_ = selected;
    }
    NamedTensors state() const override { return {{"num_tokens", at::tensor(num_tokens_, at::kLong)}}; }
    void restore(const NamedTensors& state) override {
      const at::Tensor counts = state.at(0).second;
      num_tokens_.assign(counts.const_data_ptr<std::int64_t>(), counts.const_data_ptr<std::int64_t>() + counts.numel());
    }
    std::int64_t num_tokens(std::int64_t sequence) const override {
      return num_tokens_.at(static_cast<std::size_t>(sequence));
    }
    std::int64_t memory_bytes() const override { return 100 * num_tokens_.front(); }
    std::int64_t window_bytes() const override { return 7; }

   private:
    ScriptedModel& model_;
    std::vector<std::int64_t> num_tokens_;  // of each sequence
  };

  static ModelConfig config_of(std::int64_t vocab_size, const std::string& kind) {
    ModelConfig config;
    config.kind = kind;
    config.vocab_size = vocab_size;
    config.hidden_size = vocab_size;
    config.num_heads = 1;
    config.num_kv_heads = 1;
    config.num_layers = 1;
    config.landmark_id = vocab_size - 1;
    return config;
  }

  at::Tensor hidden_after(std::int64_t num_before, std::int64_t count) const {
    at::Tensor hidden = at::zeros({1, count, config_.vocab_size});
    for (std::int64_t i = 0; i < count; ++i) {
      const auto index = std::min<std::size_t>(script_.size() - 1, static_cast<std::size_t>(num_before + i));
      hidden[0][i][script_[index]] = 1.0;
      if (script_[index] + 1 < config_.vocab_size) hidden[0][i][script_[index] + 1] = 0.5;
    }
    return hidden;
  }

  std::vector<std::int64_t> script_;
};

// Ids are bytes, and 256 ends a text.
class ByteTokenizer : public Tokenizer {
 public:
  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  }
  void decode(std::int32_t id, std::string& text) const override {
    if (id < 256) text += static_cast<char>(id);
  }
  std::int32_t vocab_size() const override { return 257; }
  std::int32_t end_of_text_id() const override { return 256; }
  std::string fingerprint() const override { return "test"; }
  void save(const std::filesystem::path& /*folder*/) const override {}
};

}  // namespace lookback
