#include "models/fixed_retriever.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "models/small_models.h"

namespace lookback {
namespace {

constexpr std::int64_t chunk_size = 24;

ModelConfig byte_config() {
  ModelConfig config = small_config("rpt");
  config.vocab_size = 258;
  config.landmark_id = 257;
  config.retriever_size = 4096;  // so large that the words below have a number each
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
  const at::Tensor queries = retriever.queries(keys, 0);
  for (std::size_t query = 0; query < texts.size(); ++query) {
    for (std::size_t document = 0; document < query; ++document) {
      const double score =
          at::dot(queries[0][static_cast<std::int64_t>(query)], keys[0][static_cast<std::int64_t>(document)])
              .item<double>();
      EXPECT_NEAR(score, bm25(texts, query, document), 1e-5) << query << ", " << document;
    }
  }
  // Of later chunks alone, as sessions ask.
  EXPECT_TRUE(at::allclose(retriever.queries(keys, 3), queries.narrow(1, 3, 2)));
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
  config.retriever = "encoder";
  const at::Tensor ids = chunks_of({"some text", "some text", "other words in here"});
  const at::Tensor keys = FixedRetriever(config, at::kCPU).keys(ids);
  EXPECT_EQ(keys.sizes(), at::IntArrayRef({1, 3, config.hidden_size}));
  EXPECT_TRUE(at::equal(keys, FixedRetriever(config, at::kCPU).keys(ids)));
  EXPECT_TRUE(at::allclose(keys[0][0], keys[0][1]));
  EXPECT_NEAR(at::dot(keys[0][0], keys[0][1]).item<double>(), 1, 1e-5);
  EXPECT_LT(at::dot(keys[0][0], keys[0][2]).item<double>(), 0.999);
  EXPECT_FALSE(keys.requires_grad());
}

}  // namespace
}  // namespace lookback
