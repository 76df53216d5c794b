#include "models/drt/fed_retriever.h"

#include <cmath>
#include <utility>

#include "core/error.h"
#include "models/drt/drt_config.h"
#include "models/drt/fixed_retriever.h"

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

// What BM25 finds chunks by stands behind what the model finds them by.
class TermsFedRetriever : public FedRetriever {
 public:
  TermsFedRetriever(std::unique_ptr<ChunkRetriever> own, const ModelConfig& config, at::Device device)
      : FedRetriever(std::move(own), config), terms_(terms_config(config), device) {}

  bool finds_by_tokens() const override { return true; }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const override {
    return at::cat({own().landmarks(encoded, ids), terms_.landmarks(encoded, ids)}, -1);
  }
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override {
    const at::Tensor query = own().queries(group_index, as_own(asking));
    const std::int64_t size = asking.landmarks.front().size(-1);
    // Scores are divided by the root of all numbers.
    const double scale = std::sqrt(static_cast<double>(size) / static_cast<double>(query.size(-1)));
    return at::constant_pad_nd(query * scale, {0, size - query.size(-1)});
  }

 protected:
  AskingChunks as_own(const AskingChunks& asking) const override {
    return part_of(asking, 0, asking.landmarks.front().size(-1) - fed_terms);
  }
  at::Tensor selection(const at::Tensor& /*scores*/, const AskingChunks& asking, std::int64_t first_chunk,
                       std::size_t group_index) const override {
    const AskingChunks terms = part_of(asking, asking.landmarks.front().size(-1) - fed_terms, fed_terms);
    const at::Tensor keys = at::cat(terms.landmarks, 1);
    return terms_.selection(causal_chunk_scores(terms_.queries(group_index, terms), keys, first_chunk));
  }

 private:
  static ModelConfig terms_config(ModelConfig config) {
    auto& drt = config.own<DrtConfig>();
    drt.retriever = "bm25";
    drt.retriever_size = fed_terms;
    drt.fed.clear();
    return config;
  }
  static AskingChunks part_of(const AskingChunks& asking, std::int64_t first, std::int64_t size) {
    AskingChunks part{asking.hidden, {}};
    for (const at::Tensor& some : asking.landmarks) part.landmarks.push_back(some.narrow(-1, first, size));
    return part;
  }

  FixedRetriever terms_;
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
