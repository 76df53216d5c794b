#include "models/drt/fed_retriever.h"

#include <cmath>
#include <utility>

#include "core/error.h"
#include "models/drt/chunk_terms.h"
#include "models/drt/drt_config.h"

namespace lookback {
namespace {

class FedRetriever : public ChunkRetriever {
 public:
  FedRetriever(std::unique_ptr<ChunkRetriever> own, const ModelConfig& config)
      : own_(std::move(own)), fed_(config.own<DrtConfig>().fed), top_k_(config.top_k) {}

  void add_group(ParameterSet& parameters) override { own_->add_group(parameters); }
  bool finds_by_tokens() const override { return own_->finds_by_tokens(); }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const override {
    return own_->landmarks(encoded, ids);
  }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    return own_->queries(group_index, asking);
  }
  at::Tensor adjusted(const at::Tensor& scores, std::int64_t num_stored, std::size_t group_index) const override {
    return own_->adjusted(scores, num_stored, group_index);
  }
  TopK choose(const at::Tensor& scores, const AskingChunks& asking, std::int64_t first_chunk, std::size_t group_index,
              const std::optional<at::Generator>& noise_generator) const override {
    // Of chunks that alone can be had, the model's own choice is all.
    at::Tensor allowed = at::zeros(scores.sizes(), scores.options().dtype(at::kBool));
    if (fed_ != "none") {
      const at::Tensor wanted = selection(scores, asking, first_chunk, group_index);
      const at::Tensor fed =
          choose_top_k(scores.detach(), wanted.masked_fill(scores.detach().isinf(), -INFINITY), top_k_).indices;
      const at::Tensor one_more = at::zeros({scores.size(0), scores.size(1), scores.size(2) + 1}, allowed.options());
      allowed = one_more.scatter(2, at::where(fed.lt(0), scores.size(2), fed), true).narrow(2, 0, scores.size(2));
    }
    return own_->choose(scores.masked_fill(allowed.logical_not(), -INFINITY), as_own(asking), first_chunk, group_index,
                        noise_generator);
  }
  bool draws_noise() const override { return own_->draws_noise(); }
  bool weighs_chunks() const override { return own_->weighs_chunks(); }
  void check_stores_memories() const override { check_searches_memories(); }
  void check_searches_memories() const override {
    fail("a model that is fed other chunks (retrieval \"{}\") keeps and reads no stored memory", fed_);
  }

 protected:
  const ChunkRetriever& own() const { return *own_; }

  // As the model's own retriever knows them.
  virtual AskingChunks as_own(const AskingChunks& asking) const { return asking; }

  // The larger, the sooner: of chunks [N, C, E].
  virtual at::Tensor selection(const at::Tensor& scores, const AskingChunks& /*asking*/, std::int64_t first_chunk,
                               std::size_t group_index) const {
    if (fed_ == "latest") {
      return at::arange(scores.size(2), scores.options().dtype(at::kDouble)).expand(scores.sizes());
    }
    return random_selection(first_chunk, scores.size(1), scores.size(2), static_cast<std::int64_t>(group_index),
                            scores.device())
        .expand(scores.sizes());
  }

 private:
  std::unique_ptr<ChunkRetriever> own_;
  std::string fed_;
  std::int64_t top_k_;
};

class TermsFedRetriever : public FedRetriever {
 public:
  TermsFedRetriever(std::unique_ptr<ChunkRetriever> own, const ModelConfig& config, at::Device device)
      : FedRetriever(std::move(own), config), terms_(config, device) {}

  bool finds_by_tokens() const override { return true; }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const override {
    return terms_.behind(own().landmarks(encoded, ids), ids);
  }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    return ChunkTerms::widened(own().queries(group_index, as_own(asking)), asking);
  }

 protected:
  AskingChunks as_own(const AskingChunks& asking) const override { return ChunkTerms::without(asking); }
  at::Tensor selection(const at::Tensor& /*scores*/, const AskingChunks& asking, std::int64_t first_chunk,
                       std::size_t group_index) const override {
    const AskingChunks terms = ChunkTerms::alone(asking);
    const at::Tensor keys = at::cat(terms.landmarks, 1);
    return terms_.bm25().selection(causal_chunk_scores(terms_.bm25().queries(group_index, terms), keys, first_chunk));
  }

 private:
  ChunkTerms terms_;
};

}  // namespace

void check_fed(const std::string& name, const std::string& source) {
  for (const char* known : {"trained", "random", "latest", "bm25", "none"}) {
    if (name == known) return;
  }
  fail("{} \"{}\": there are trained, random, latest, bm25 and none", source, name);
}

std::unique_ptr<ChunkRetriever> make_fed_retriever(std::unique_ptr<ChunkRetriever> own, const ModelConfig& config,
                                                   at::Device device) {
  if (config.own<DrtConfig>().fed == "bm25") {
    return std::make_unique<TermsFedRetriever>(std::move(own), config, device);
  }
  return std::make_unique<FedRetriever>(std::move(own), config);
}

}  // namespace lookback
