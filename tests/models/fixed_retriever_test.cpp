#include "models/drt/fixed_retriever.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/drt/retriever_embeddings.h"
#include "models/model_folder.h"
#include "models/small_models.h"
#include "nn/safetensors.h"

namespace lookback {
namespace {

constexpr std::int64_t chunk_size = 24;

ModelConfig byte_config() {
  ModelConfig config = small_config("rpt");
  config.vocab_size = 258;
  config.landmark_id = 257;
  config.own<DrtConfig>().retriever_size = 4096;  // so large that the words below have a number each
  return config;
}

// Text of whole chunks -> ids [1, C, S].
at::Tensor chunks_of(const std::vector<std::string>& texts) {
  at::Tensor ids = at::full({1, std::ssize(texts), chunk_size}, ' ', at::kLong);
  for (std::size_t c = 0; c < texts.size(); ++c) {
    for (std::size_t i = 0; i < texts[c].size(); ++i) {
      ids[0][static_cast<std::int64_t>(c)][static_cast<std::int64_t>(i)] = static_cast<unsigned char>(texts[c][i]);
    }
  }
  return ids;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  std::string word;
  while (stream >> word) words.push_back(word);
  return words;
}

// From the formula, over the words themselves.
double bm25(const std::vector<std::string>& texts, std::size_t query, std::size_t document) {
  const std::vector<std::string> asked = words_of(texts[query]);
  double score = 0;
  for (const std::string& term : std::set<std::string>(asked.begin(), asked.end())) {
    double document_count = 0;
    for (std::size_t c = 0; c < query; ++c) {
      const std::vector<std::string> words = words_of(texts[c]);
      if (std::ranges::count(words, term) > 0) ++document_count;
    }
    const std::vector<std::string> words = words_of(texts[document]);
    const auto count = static_cast<double>(std::ranges::count(words, term));
    const double idf = std::log(1 + (static_cast<double>(query) - document_count + 0.5) / (document_count + 0.5));
    score += idf * count * 2.2 / (count + 1.2);
  }
  return score;
}

TEST(FixedRetriever, TermsScoreAsBm25) {
  const std::vector<std::string> texts = {"the cat sat on the mat", "a cat a dog a cat", "the the the end", "",
                                          "the dog and the cat"};
  const FixedRetriever retriever(byte_config(), at::kCPU);
  const at::Tensor keys = retriever.keys(chunks_of(texts));
  EXPECT_EQ(keys.sizes(), at::IntArrayRef({1, 5, 4096}));
  const at::Tensor queries = retriever.queries({}, keys);
  for (std::size_t query = 0; query < texts.size(); ++query) {
    for (std::size_t document = 0; document < query; ++document) {
      const double score =
          at::dot(queries[0][static_cast<std::int64_t>(query)], keys[0][static_cast<std::int64_t>(document)])
              .item<double>();
      EXPECT_NEAR(score, bm25(texts, query, document), 1e-5) << query << ", " << document;
    }
  }
  // Of later chunks alone, as sessions ask.
  EXPECT_TRUE(at::allclose(retriever.queries({keys.narrow(1, 0, 2), keys.narrow(1, 2, 1)}, keys.narrow(1, 3, 2)),
                           queries.narrow(1, 3, 2)));
}

TEST(FixedRetriever, WordsAreRunsOfLettersInAnyCase) {
  const FixedRetriever retriever(byte_config(), at::kCPU);
  const at::Tensor keys = retriever.keys(chunks_of({"Cat, dog!", "(cat)(DOG)", "catdog", "Caf\xc3\xa9", "caf"}));
  EXPECT_TRUE(at::equal(keys[0][0], keys[0][1]));
  EXPECT_FALSE(at::equal(keys[0][0], keys[0][2]));
  EXPECT_FALSE(at::equal(keys[0][3], keys[0][4]));
}

TEST(FixedRetriever, OfEqualScoresTheNearestIsChosen) {
  const FixedRetriever retriever(byte_config(), at::kCPU);
  const at::Tensor scores = at::tensor({1.0F, 2.0F, 1.0F, 2.0F + 1e-6F, 1.0F}).view({1, 1, 5});
  const at::Tensor order = retriever.selection(scores).argsort(-1, true);
  EXPECT_TRUE(at::equal(order.flatten(), at::tensor({3, 1, 4, 2, 0}, at::kLong)));
  const at::Tensor swapped = at::tensor({2.0F + 1e-6F, 2.0F}).view({1, 1, 2});
  EXPECT_EQ(retriever.selection(swapped).argmax().item<std::int64_t>(), 1);
}

// The same in every process and whatever the model's seed: a session or a checkpoint goes on with it.
TEST(FixedRetriever, AnEncoderIsDrawnFromAFixedSeed) {
  ModelConfig config = byte_config();
  config.own<DrtConfig>().retriever = "encoder";
  const at::Tensor ids = chunks_of({"some text", "some text", "other words in here"});
  const at::Tensor keys = FixedRetriever(config, at::kCPU).keys(ids);
  EXPECT_EQ(keys.sizes(), at::IntArrayRef({1, 3, config.hidden_size}));
  EXPECT_TRUE(at::equal(keys, FixedRetriever(config, at::kCPU).keys(ids)));
  EXPECT_TRUE(at::allclose(keys[0][0], keys[0][1]));
  EXPECT_NEAR(at::dot(keys[0][0], keys[0][1]).item<double>(), 1, 1e-5);
  EXPECT_LT(at::dot(keys[0][0], keys[0][2]).item<double>(), 0.999);
  EXPECT_FALSE(keys.requires_grad());
}

ModelConfig embeddings_config() {
  ModelConfig config = small_config("rpt");
  config.own<DrtConfig>().retriever = "embeddings";
  config.own<DrtConfig>().retriever_size = 6;
  return config;
}

class RetrieverEmbeddings : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path write(const at::Tensor& rows) const {
    write_safetensors(folder_ / "vectors.safetensors", {{"vectors", rows}});
    return folder_ / "vectors.safetensors";
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("lookback_embeddings" + std::to_string(::getpid()));
  const std::unique_ptr<Model> model_ = make_model(embeddings_config(), at::kCPU, 1);
};

// Each chunk's best earlier chunk is that of the largest cosine of mean vectors, and a saved model retrieves the same.
TEST_F(RetrieverEmbeddings, DecideWhatIsRetrieved) {
  const at::Tensor rows = at::randn({39, 6}, at::detail::createCPUGenerator(3));
  load_retriever_embeddings(write(rows), *model_);
  const at::Tensor ids = random_ids(1, 48, 39, 2);
  const auto retrieved = [&ids](Model& model) {
    std::vector<Retrieval> retrievals;
    ForwardOptions options;
    options.retrievals = &retrievals;
    model.hidden_states(ids, options);
    return retrievals.at(0).indices;
  };
  const at::Tensor indices = retrieved(*model_);
  const at::Tensor means = rows.index_select(0, ids[0]).view({6, 8, 6}).mean(1);
  for (std::int64_t chunk = 1; chunk < 6; ++chunk) {
    const at::Tensor cosines = at::cosine_similarity(means.narrow(0, 0, chunk), means[chunk].unsqueeze(0), 1);
    EXPECT_EQ(indices[0][chunk][0].item<std::int64_t>(), cosines.argmax().item<std::int64_t>()) << chunk;
  }
  save_model(*model_, folder_);
  EXPECT_TRUE(retrieved(*load_model(folder_, at::kCPU)).equal(indices));
}

TEST_F(RetrieverEmbeddings, StayAsTheyAre) {
  load_retriever_embeddings(write(at::ones({40, 6})), *model_);
  model_->hidden_states(random_ids(1, 48, 39, 2), {}).sum().backward();
  EXPECT_FALSE(model_->parameters().get(retriever_embeddings_name).grad().defined());
}

TEST_F(RetrieverEmbeddings, WhatDoesNotFitIsNamed) {
  const auto expect = [](const std::filesystem::path& path, Model& model, const char* part) {
    EXPECT_THAT([&] { load_retriever_embeddings(path, model); },
                testing::ThrowsMessage<Error>(testing::HasSubstr(part)));
  };
  expect(write(at::ones({40, 5})), *model_,
         "vectors.safetensors: vectors: expected floating-point embeddings [up to 40");
  expect(write(at::ones({41, 6})), *model_, "found Float [41, 6]");
  expect(write(at::ones({40, 6}) / 0), *model_, "not finite");
  const auto other = make_model(small_config("rpt"), at::kCPU, 1);
  expect(write(at::ones({40, 6})), *other, "this is a rpt model without");
  expect(folder_ / "nothing.safetensors", *model_, "nothing.safetensors");
}

}  // namespace
}  // namespace lookback
