#include "models/model.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <set>

#include "core/error.h"
#include "models/device.h"
#include "models/kind.h"
#include "nn/layers.h"

namespace lookback {
Model::Model(ModelConfig config, at::Device device, std::uint64_t seed)
    : config_(std::move(config)), parameters_(device, seed) {
  check_model_config(config_, "model configuration");
  embedding_ = parameters_.add("model.embed_tokens.weight", {config_.vocab_size, config_.hidden_size},
                               {Initializer::Kind::normal, config_.embedding_initializer_range});
}

at::Tensor Model::embed(const at::Tensor& ids) const {
  return at::embedding(embedding_, copy_to_device(ids, embedding_.device()));
}

at::Tensor Model::logits(const at::Tensor& hidden) const { return project(hidden, embedding_).to(at::kFloat); }

std::int64_t Model::reading_halo_chunks() const { fail("a {} model keeps no memory of chunks", config_.kind); }

EncodedChunks Model::read_chunks(const at::Tensor&, std::int64_t, at::ScalarType) const {
  fail("a {} model keeps no memory of chunks", config_.kind);
}

void Model::check_input_ids(const at::Tensor& input_ids) const {
  require(input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong && input_ids.size(1) >= 1,
          "input_ids: expected int64 [N, L] with L >= 1, found {} [{}]", c10::toString(input_ids.scalar_type()),
          fmt::join(input_ids.sizes(), ", "));
  require(input_ids.is_cpu(), "input_ids: expected on the host, found on {}: copy them with .cpu()",
          input_ids.device().str());
  const at::Tensor contiguous = input_ids.contiguous();
  check_in_vocabulary({contiguous.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(contiguous.numel())},
                      config_.vocab_size, "input_ids");
}

void Model::check_pieces(std::span<const Piece> pieces) const {
  std::set<const Sequence*> seen;
  for (const Piece& piece : pieces) {
    require(piece.sequence != nullptr && piece.sequence->model_ == this, "step: a sequence is not of this model");
    const Sequence& sequence = *piece.sequence;
    require(seen.insert(&sequence).second, "step: a sequence stands twice in one step");
    require(sequence.options_.dtype() == pieces.front().sequence->options_.dtype(),
            "step: sequences of different element types, {} and {}", c10::toString(sequence.options_.dtype()),
            c10::toString(pieces.front().sequence->options_.dtype()));
    require(!piece.ids.empty(), "step: a sequence has no token to read");
    check_in_vocabulary(piece.ids, config_.vocab_size, "step");
    require(piece.first_wanted >= 0 && sequence.num_tokens_ + piece.first_wanted >= sequence.first_wanted_,
            "step: the hidden state of token {} is wanted, but before only those from {} on were to be",
            sequence.num_tokens_ + piece.first_wanted, sequence.first_wanted_);
  }
}

at::Tensor Model::step(std::span<const Piece> pieces) const {
  require(!pieces.empty(), "step: there are no pieces");
  check_pieces(pieces);
  const at::NoGradGuard no_gradients;
  at::Tensor hidden = advance(pieces);
  for (const Piece& piece : pieces) {
    piece.sequence->first_wanted_ = piece.sequence->num_tokens_ + piece.first_wanted;
    piece.sequence->num_tokens_ += std::ssize(piece.ids);
  }
  return hidden;
}

std::unique_ptr<Model> make_model(const ModelConfig& config, at::Device device, std::uint64_t seed) {
  return kind_named(config.kind).make(config, device, seed);
}

std::vector<std::string> model_kinds() {
  std::vector<std::string> names;
  for (const Kind* const kind : all_kinds()) names.emplace_back(kind->name);
  return names;
}

void check_in_vocabulary(std::span<const std::int64_t> ids, std::int64_t vocab_size, const char* source) {
  for (const std::int64_t id : ids) {
    require(id >= 0 && id < vocab_size, "{}: id {} is not in the model's vocabulary of {}", source, id, vocab_size);
  }
}

}  // namespace lookback
