#include "models/drt/chunk_retriever.h"

#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "models/drt/chunk_terms.h"
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
  LearnedRetriever(ParameterSet& parameters, const ModelConfig& config)
      : config_(config), own_(config.own<DrtConfig>()) {
    if (own_.retrieval_projections) landmark_proj_ = projection(parameters, "model.lmk_proj.weight");
  }

  void add_group(ParameterSet& parameters) override {
    const std::string name = "model.lmk_norms." + std::to_string(norms_.size()) + ".weight";
    norms_.push_back(make_rms_norm(parameters, name, config_.hidden_size, landmark_rms_norm_eps));
    if (own_.recency_bias) {
      const std::string slope = "model.lmk_recency." + std::to_string(slopes_.size());
      slopes_.push_back(parameters.add(slope, {1}, {Initializer::Kind::ones, 0}));
    }
    if (!own_.retrieval_projections) return;
    const std::string index = std::to_string(query_projs_.size());
    query_projs_.push_back(projection(parameters, "model.lmk_q_proj." + index + ".weight"));
  }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& /*ids*/) const override {
    return own_.retrieval_projections ? project(encoded, landmark_proj_) : encoded;
  }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    const bool by_position = own_.query_from == "position";
    at::Tensor query = rms_norm(norms_[group_index], by_position ? asking.hidden : own_landmarks(asking));
    if (own_.retrieval_projections) query = project(query, query_projs_[group_index]);
    return own_.retrieval_temperature == 1 ? query : query / own_.retrieval_temperature;
  }
  at::Tensor adjusted(const at::Tensor& scores, std::int64_t num_stored, std::size_t group_index) const override {
    if (!own_.recency_bias) return scores;
    const std::int64_t num_own = scores.size(2) - num_stored;
    const at::TensorOptions options = scores.options();
    const at::Tensor asking = at::arange(num_own - scores.size(1), num_own, options).unsqueeze(1);
    // Other texts lie all at one distance, right before the text.
    const at::Tensor place = at::cat({at::full({num_stored}, -1, options), at::arange(num_own, options)});
    return scores - slopes_[group_index].to(scores.scalar_type()) * (asking - place).clamp_min(1).log();
  }
  TopK choose(const at::Tensor& scores, const AskingChunks& /*asking*/, std::int64_t first_chunk,
              std::size_t group_index, const std::optional<at::Generator>& noise_generator) const override {
    TopK chosen = select(scores, first_chunk, group_index, noise_generator);
    if (own_.stick_breaking) chosen.weights = stick_breaking_weights(scores, chosen.indices);
    if (own_.uniform_chunk_weights) chosen.weights = uniform_weights(chosen.indices);
    return chosen;
  }
  bool draws_noise() const override { return own_.gumbel_noise; }

 protected:
  virtual TopK select(const at::Tensor& scores, std::int64_t /*first_chunk*/, std::size_t /*group_index*/,
                      const std::optional<at::Generator>& noise_generator) const {
    return causal_top_k(scores, config_.top_k, noise_generator);
  }

  const ModelConfig& config_;
  const DrtConfig& own_;

 private:
  at::Tensor projection(ParameterSet& parameters, const std::string& name) const {
    return make_linear(parameters, name, config_.hidden_size, config_.hidden_size, config_.initializer_range);
  }

  static at::Tensor own_landmarks(const AskingChunks& asking) {
    const std::int64_t count = asking.hidden.size(1);
    // They often lie in the last part alone.
    const at::Tensor& last = asking.landmarks.back();
    const at::Tensor all = last.size(1) >= count ? last : at::cat(asking.landmarks, 1);
    return all.narrow(1, all.size(1) - count, count);
  }

  std::vector<RmsNorm> norms_;  // one an upper group
  std::vector<at::Tensor> query_projs_;
  std::vector<at::Tensor> slopes_;  // of recency
  at::Tensor landmark_proj_;
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
  if (own.random_retrieval) return std::make_unique<RandomRetriever>(parameters, config);
  if (own.retriever.empty()) return std::make_unique<LearnedRetriever>(parameters, config);
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
  if (config.own<DrtConfig>().term_scores) own = add_term_scores(std::move(own), parameters, config);
  const std::string& fed = config.own<DrtConfig>().fed;
  if (fed.empty() || fed == "trained") return own;
  return make_fed_retriever(std::move(own), config, parameters.device());
}

}  // namespace lookback
