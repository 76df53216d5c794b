#include "models/drt/chunk_retriever.h"

#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "models/drt/drt_config.h"
#include "models/drt/fed_retriever.h"
#include "models/drt/fixed_retriever.h"
#include "models/drt/retriever_embeddings.h"
#include "nn/layers.h"

namespace lookback {
namespace {

// lmk_norms have the published code's default, whatever config.json says (docs/model.md, 6).
constexpr double landmark_rms_norm_eps = 1e-5;

// The model's own, trained through the weights of what it chooses (docs/model.md, 6).
class LearnedRetriever : public ChunkRetriever {
 public:
  // Outlives the retriever.
  explicit LearnedRetriever(const ModelConfig& config) : config_(config) {}

  void add_group(ParameterSet& parameters) override {
    const std::string name = "model.lmk_norms." + std::to_string(norms_.size()) + ".weight";
    norms_.push_back(make_rms_norm(parameters, name, config_.hidden_size, landmark_rms_norm_eps));
  }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& /*ids*/) const override { return encoded; }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    return rms_norm(norms_[group_index], asking.hidden);
  }
  TopK choose(const at::Tensor& scores, const AskingChunks& /*asking*/, std::int64_t first_chunk,
              std::size_t group_index, const std::optional<at::Generator>& noise_generator) const override {
    TopK chosen = select(scores, first_chunk, group_index, noise_generator);
    if (config_.own<DrtConfig>().uniform_chunk_weights) chosen.weights = uniform_weights(chosen.indices);
    return chosen;
  }
  bool draws_noise() const override { return config_.own<DrtConfig>().gumbel_noise; }

 protected:
  virtual TopK select(const at::Tensor& scores, std::int64_t /*first_chunk*/, std::size_t /*group_index*/,
                      const std::optional<at::Generator>& noise_generator) const {
    return causal_top_k(scores, config_.top_k, noise_generator);
  }

  const ModelConfig& config_;

 private:
  std::vector<RmsNorm> norms_;  // one an upper group
};

// The ablation: any earlier chunks, weighed by their scores all the same.
class RandomRetriever : public LearnedRetriever {
 public:
  using LearnedRetriever::LearnedRetriever;

  void check_searches_memories() const override {
    fail("this model retrieves at random (random_retrieval): it searches no memory");
  }

 protected:
  TopK select(const at::Tensor& scores, std::int64_t first_chunk, std::size_t group_index,
              const std::optional<at::Generator>& /*noise_generator*/) const override {
    const at::Tensor selection = random_selection(first_chunk, scores.size(1), scores.size(2),
                                                  static_cast<std::int64_t>(group_index), scores.device());
    return choose_top_k(scores, selection.masked_fill(scores.detach().isinf(), -INFINITY), config_.top_k);
  }
};

std::unique_ptr<ChunkRetriever> make_own_retriever(ParameterSet& parameters, const ModelConfig& config) {
  const DrtConfig& own = config.own<DrtConfig>();
  if (own.random_retrieval) return std::make_unique<RandomRetriever>(config);
  if (own.retriever.empty()) return std::make_unique<LearnedRetriever>(config);
  at::Tensor table;
  if (own.retriever == "embeddings") {
    table = parameters.add(retriever_embeddings_name, {config.vocab_size, own.retriever_size},
                           {Initializer::Kind::normal, 0});
    table.set_requires_grad(false);
  }
  return std::make_unique<FixedRetriever>(config, parameters.device(), table);
}

}  // namespace

std::unique_ptr<ChunkRetriever> make_chunk_retriever(ParameterSet& parameters, const ModelConfig& config) {
  std::unique_ptr<ChunkRetriever> own = make_own_retriever(parameters, config);
  if (config.own<DrtConfig>().fed.empty()) return own;
  return make_fed_retriever(std::move(own), config, parameters.device());
}

}  // namespace lookback
