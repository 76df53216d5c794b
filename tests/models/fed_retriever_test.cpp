// The same weights fed other chunks than those that the model chooses.
#include "models/drt/fed_retriever.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "models/model_folder.h"
#include "models/sequence_batch.h"
#include "models/small_models.h"

namespace lookback {
namespace {

constexpr std::int64_t num_chunks = 10;

struct Outcome {
  at::Tensor hidden;
  std::vector<Retrieval> retrievals;
};

Outcome run(const Model& model) {
  Outcome outcome;
  ForwardOptions options;
  options.retrievals = &outcome.retrievals;
  outcome.hidden = model.hidden_states(random_ids(2, num_chunks * 8 - 3, 39, 4), options).detach();
  return outcome;
}

std::unique_ptr<Model> fed_model(const std::string& kind, const std::string& fed) {
  ModelConfig config = small_config(kind);
  config.own<DrtConfig>().fed = fed;
  return make_model(config, at::kCPU, 3);
}

// The weights are those of the scores that the model's own retriever gives, whatever it is fed.
void expect_weighed_by_scores(const Retrieval& retrieval, std::int64_t chunk, const at::Tensor& chunks) {
  const std::int64_t count = chunks.size(0);
  EXPECT_TRUE(std::get<0>(retrieval.indices[1][chunk].narrow(0, 0, count).sort()).equal(std::get<0>(chunks.sort())))
      << chunk;
  const at::Tensor weights =
      at::softmax(retrieval.scores[1][chunk].index_select(0, retrieval.indices[1][chunk].narrow(0, 0, count)), 0);
  EXPECT_TRUE(retrieval.weights[1][chunk].narrow(0, 0, count).allclose(weights, 1e-5, 1e-6)) << chunk;
}

TEST(FedRetriever, LatestAreTheChunksJustBefore) {
  const Outcome found = run(*fed_model("drt", "latest"));
  for (const Retrieval& retrieval : found.retrievals) {
    for (std::int64_t chunk = 1; chunk < num_chunks; ++chunk) {
      expect_weighed_by_scores(retrieval, chunk, at::arange(std::max<std::int64_t>(0, chunk - 3), chunk, at::kLong));
    }
  }
}

TEST(FedRetriever, RandomOnesAreThoseOfTheAblation) {
  ModelConfig config = small_drt_config();
  config.own<DrtConfig>().random_retrieval = true;
  const Outcome ablation = run(*make_model(config, at::kCPU, 3));
  const Outcome fed = run(*fed_model("drt", "random"));
  EXPECT_TRUE(fed.hidden.allclose(ablation.hidden, 1e-5, 1e-5));
  EXPECT_FALSE(fed.hidden.allclose(run(*fed_model("drt", "")).hidden, 1e-3, 1e-3));
}

// The fixed retriever of rpt finds by the text alone.
TEST(FedRetriever, Bm25FindsWhatTheFixedRetrieverFinds) {
  ModelConfig config = small_config("rpt");
  config.own<DrtConfig>().retriever_size = fed_terms;
  const Outcome expected = run(*make_model(config, at::kCPU, 5));
  const Outcome found = run(*fed_model("drt", "bm25"));
  const Outcome own = run(*fed_model("drt", ""));
  // The first group's queries are those of the model that is not fed.
  EXPECT_TRUE(found.retrievals[0].scores.allclose(own.retrievals[0].scores, 1e-5, 1e-5));
  for (std::int64_t chunk = 1; chunk < num_chunks; ++chunk) {
    const std::int64_t count = std::min<std::int64_t>(3, chunk);
    expect_weighed_by_scores(found.retrievals[0], chunk, expected.retrievals[0].indices[1][chunk].narrow(0, 0, count));
  }
}

TEST(FedRetriever, NoneIsAModelWithoutChunkAttention) {
  const Outcome none = run(*fed_model("drt", "none"));
  EXPECT_TRUE(none.retrievals[0].indices.eq(-1).all().item<bool>());
  const auto model = fed_model("drt", "");
  for (const auto& [name, parameter] : model->parameters().named()) {
    if (name.find("gca.o_proj") != std::string::npos) parameter.detach().zero_();
  }
  EXPECT_TRUE(none.hidden.allclose(run(*model).hidden, 1e-6, 1e-6));
}

// Of every kind that retrieves, token by token as at once.
TEST(FedRetriever, SequencesGiveWhatTheWholeForwardGives) {
  for (const char* kind : {"drt", "rpt", "compressed-memory"}) {
    for (const char* fed : {"random", "latest", "bm25", "none"}) {
      const auto model = fed_model(kind, fed);
      const at::Tensor ids = random_ids(2, 61, 39, 1);
      const at::Tensor whole = model->hidden_states(ids, {}).detach();
      SequenceBatch sequences(*model, 2);
      std::vector<at::Tensor> parts;
      std::int64_t first = 0;
      for (const std::int64_t count : {1, 22, 9, 29}) {
        parts.push_back(sequences.append(ids.narrow(1, first, count)));
        first += count;
      }
      EXPECT_LT((at::cat(parts, 1) - whole).abs().max().item<double>(), 2e-4) << kind << ", " << fed;
      EXPECT_THROW(
          model->new_sequence(at::kFloat)->attach(std::make_shared<const MemorySet>(std::vector<SearchedArchive>())),
          Error);
    }
  }
}

TEST(FedRetriever, SavedModelsAreFedWhatIsAskedFor) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("lookback_fed" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto model = fed_model("drt", "");
  save_model(*model, folder);
  EXPECT_TRUE(run(*load_model(folder, at::kCPU)).hidden.equal(run(*model).hidden));
  EXPECT_TRUE(run(*load_model(folder, at::kCPU, "latest")).hidden.equal(run(*fed_model("drt", "latest")).hidden));
  EXPECT_THAT([&] { load_model(folder, at::kCPU, "oldest"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("there are trained, random, latest, bm25 and none")));
  save_model(*make_model(small_sliding_window_config(), at::kCPU, 3), folder);
  EXPECT_THAT([&] { load_model(folder, at::kCPU, "latest"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("a sliding-window model retrieves no chunks")));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lookback
