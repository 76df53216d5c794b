// A model that says a given text, whatever the prompt is: for tests of what happens after the logits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

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

  at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& /*options*/) const override {
    return hidden_after(0, input_ids.size(1)).expand({input_ids.size(0), -1, -1});
  }

  std::unique_ptr<Sequence> new_sequence(at::ScalarType /*dtype*/) const override {
    return std::make_unique<ScriptedSequence>(*this);
  }

  // All tokens that sequences were given, in order.
  mutable std::vector<std::int64_t> seen_ids;

 protected:
  at::Tensor advance(std::span<const Piece> pieces) const override {
    std::vector<at::Tensor> hidden;
    for (const Piece& piece : pieces) {
      const std::int64_t count = std::ssize(piece.ids);
      const std::int64_t first = std::min(piece.first_wanted, count);
      hidden.push_back(hidden_after(piece.sequence->num_tokens() + first, count - first)[0]);
      seen_ids.insert(seen_ids.end(), piece.ids.begin(), piece.ids.end());
    }
    return at::cat(hidden);
  }

 private:
  class ScriptedSequence : public Sequence {
   public:
    explicit ScriptedSequence(const ScriptedModel& model) : Sequence(model, at::TensorOptions(at::kFloat)) {}
    std::unique_ptr<Sequence> fork() const override { return std::unique_ptr<Sequence>(new ScriptedSequence(*this)); }
    std::int64_t memory_bytes() const override { return 100 * num_tokens(); }
    std::int64_t window_bytes() const override { return 7; }

   protected:
    void save_state(NamedTensors& /*state*/) const override {}
    void restore_state(StateReader& /*reader*/) override {}
  };

  static ModelConfig config_of(std::int64_t vocab_size, const std::string& kind) {
    ModelConfig config;
    config.kind = kind;
    config.vocab_size = vocab_size;
    config.hidden_size = vocab_size;
    config.num_heads = 1;
    config.num_kv_heads = 1;
    config.num_layers = 1;
    config.chunk_size = 8;
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
