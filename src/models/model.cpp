#include "models/model.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "models/kind.h"
#include "nn/layers.h"

namespace lookback {
Model::Model(ModelConfig config, at::Device device, std::uint64_t seed)
    : config_(std::move(config)), parameters_(device, seed) {
  check_model_config(config_, "model configuration");
  embedding_ = parameters_.add("model.embed_tokens.weight", {config_.vocab_size, config_.hidden_size},
                               {Initializer::Kind::normal, config_.embedding_initializer_range});
}

at::Tensor Model::logits(const at::Tensor& hidden) const { return project(hidden, embedding_).to(at::kFloat); }

void Session::attach_memory(const SearchedArchive&) {
  fail("this kind of model retrieves nothing, so no memory can be attached");
}

std::int64_t Model::reading_halo_chunks() const { fail("a {} model keeps no memory of chunks", config_.kind); }

EncodedChunks Model::read_chunks(const at::Tensor&, std::int64_t, at::ScalarType) {
  fail("a {} model keeps no memory of chunks", config_.kind);
}

void Model::check_input_ids(const at::Tensor& input_ids) const {
  require(input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong && input_ids.size(1) >= 1,
          "input_ids: expected int64 [N, L] with L >= 1, found {} [{}]", c10::toString(input_ids.scalar_type()),
          fmt::join(input_ids.sizes(), ", "));
  require(input_ids.device() == parameters_.device(), "input_ids: on {}, the model is on {}", input_ids.device().str(),
          parameters_.device().str());
  const auto largest = input_ids.max().item<std::int64_t>();
  require(largest < config_.vocab_size, "input_ids: id {} is not in the model's vocabulary of {}", largest,
          config_.vocab_size);
}

void Model::check_session_ids(const at::Tensor& input_ids, std::int64_t num_sequences) const {
  check_input_ids(input_ids);
  require(input_ids.size(0) == num_sequences, "input_ids: expected {} sequences, found {}", num_sequences,
          input_ids.size(0));
  require(input_ids.ge(0).any().item<bool>(), "input_ids: there is no token among them");
}

std::unique_ptr<Model> make_model(const ModelConfig& config, at::Device device, std::uint64_t seed) {
  return kind_named(config.kind).make(config, device, seed);
}

std::vector<std::string> model_kinds() {
  std::vector<std::string> names;
  for (const Kind* const kind : all_kinds()) names.emplace_back(kind->name);
  return names;
}

}  // namespace lookback
