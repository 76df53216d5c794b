#include "models/drt/chunk_terms.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <utility>

#include "core/error.h"
#include "models/drt/drt_config.h"

namespace lookback {
namespace {

AskingChunks part_of(const AskingChunks& asking, std::int64_t first, std::int64_t size) {
  AskingChunks part{asking.hidden, {}};
  for (const at::Tensor& some : asking.landmarks) part.landmarks.push_back(some.narrow(-1, first, size));
  return part;
}

std::int64_t size_of(const AskingChunks& asking) { return asking.landmarks.front().size(-1); }

class TermScores : public ChunkRetriever {
 public:
  TermScores(std::unique_ptr<ChunkRetriever> own, ParameterSet& parameters, const ModelConfig& config)
      : own_(std::move(own)), terms_(config, parameters.device()) {
    weight_ = parameters.add("model.lmk_terms", {1}, {Initializer::Kind::ones, 0});
    const at::NoGradGuard no_gradients;
    weight_.fill_(first_weight);
  }

  void add_group(ParameterSet& parameters) override { own_->add_group(parameters); }
  bool finds_by_tokens() const override { return true; }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const override {
    return terms_.behind(own_->landmarks(encoded, ids), ids);
  }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    const at::Tensor query = own_->queries(group_index, ChunkTerms::without(asking));
    const at::Tensor terms = terms_.bm25().queries(group_index, ChunkTerms::alone(asking));
    const at::Tensor weight = weight_ * std::sqrt(static_cast<double>(size_of(asking)));
    return ChunkTerms::widened(query, asking) +
           at::constant_pad_nd(terms * weight, {size_of(asking) - fed_terms, 0}).to(query.scalar_type());
  }
  at::Tensor adjusted(const at::Tensor& scores, std::int64_t num_stored, std::size_t group_index) const override {
    return own_->adjusted(scores, num_stored, group_index);
  }
  TopK choose(const at::Tensor& scores, const AskingChunks& asking, std::int64_t first_chunk, std::size_t group_index,
              const std::optional<at::Generator>& noise_generator) const override {
    return own_->choose(scores, ChunkTerms::without(asking), first_chunk, group_index, noise_generator);
  }
  bool draws_noise() const override { return own_->draws_noise(); }
  bool weighs_chunks() const override { return own_->weighs_chunks(); }
  void check_stores_memories() const override { check_searches_memories(); }
  void check_searches_memories() const override {
    fail("a model with term_scores keeps and reads no stored memory: BM25's scores depend on the text");
  }

 private:
  // At which the scores of what shares a few words are of the size of the others.
  static constexpr double first_weight = 0.2;

  std::unique_ptr<ChunkRetriever> own_;
  ChunkTerms terms_;
  at::Tensor weight_;
};

}  // namespace

ModelConfig ChunkTerms::config_of(ModelConfig config) {
  auto& drt = config.own<DrtConfig>();
  drt.retriever = "bm25";
  drt.retriever_size = fed_terms;
  drt.fed.clear();
  drt.term_scores = false;
  return config;
}

at::Tensor ChunkTerms::behind(const at::Tensor& own, const at::Tensor& ids) const {
  return at::cat({own, bm25_.landmarks(own, ids)}, -1);
}

AskingChunks ChunkTerms::without(const AskingChunks& asking) { return part_of(asking, 0, size_of(asking) - fed_terms); }

AskingChunks ChunkTerms::alone(const AskingChunks& asking) {
  return part_of(asking, size_of(asking) - fed_terms, fed_terms);
}

at::Tensor ChunkTerms::widened(const at::Tensor& query, const AskingChunks& asking) {
  // Scores are divided by the root of all numbers.
  const double scale = std::sqrt(static_cast<double>(size_of(asking)) / static_cast<double>(query.size(-1)));
  return at::constant_pad_nd(query * scale, {0, size_of(asking) - query.size(-1)});
}

std::unique_ptr<ChunkRetriever> add_term_scores(std::unique_ptr<ChunkRetriever> own, ParameterSet& parameters,
                                                const ModelConfig& config) {
  return std::make_unique<TermScores>(std::move(own), parameters, config);
}

}  // namespace lookback
