#include "generate/score.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>

#include "core/error.h"
#include "generate/random_archive.h"
#include "generate/small_models.h"
#include "lookback/stop.h"
#include "ops/composed_operators.h"

namespace lookback {
namespace {

// log softmax of the whole forward in float64, picked at the next token: [N, L - 1].
at::Tensor plain_logprobs(Model& model, const at::Tensor& ids) {
  const std::int64_t count = ids.size(1) - 1;
  const at::Tensor logits = whole_logits(model, ids).narrow(1, 0, count).to(at::kDouble);
  return at::log_softmax(logits, 2).gather(2, ids.narrow(1, 1, count).unsqueeze(2)).squeeze(2);
}

TEST(Score, AllWaysAgreeForEveryLengthModuloTheChunkSize) {
  for (const SmallModelCase& small : small_model_cases()) {
    SCOPED_TRACE(small.name);
    const auto model = make_small_model(small.config);
    for (std::int64_t length = 17; length < 25; ++length) {
      SCOPED_TRACE(length);
      const std::int64_t num_sequences = length % 3 + 1;
      const at::Tensor ids = random_ids(small.config, num_sequences, length, 10);
      const at::Tensor expected = plain_logprobs(*model, ids);
      ScoreConfig whole;
      ScoreConfig segments;
      segments.whole_tokens = 0;
      segments.segment_tokens = 11;
      ScoreConfig incremental;
      incremental.incremental = true;
      for (const ScoreConfig& options : {whole, segments, incremental}) {
        const at::Tensor logprobs = score_tokens(*model, ids, options);
        ASSERT_EQ(logprobs.sizes(), ids.sizes());
        EXPECT_TRUE(logprobs.select(1, 0).isnan().all().item<bool>());
        EXPECT_LT(largest_difference(logprobs.narrow(1, 1, length - 1), expected), 2e-4);
      }
    }
  }
}

// As the whole forward with the memory's chunks placed before the text's, whatever their elements.
class ScoreWithMemory : public testing::TestWithParam<MemoryElements> {};

TEST_P(ScoreWithMemory, StoredMemoriesAreRetrievedFrom) {
  const ModelConfig config = small_model_cases().front().config;
  const auto model = make_small_model(config);
  const auto archive = std::make_shared<RandomArchive>(config, 9, 0, GetParam());
  const EncodedChunks memory = archive->all();
  const at::Tensor ids = random_ids(config, 1, 21, 4);
  ForwardOptions forward;
  forward.memory = &memory;
  const at::Tensor logits = model->logits(model->hidden_states(ids, forward)).narrow(1, 0, 20).to(at::kDouble);
  const at::Tensor expected = at::log_softmax(logits, 2).gather(2, ids.narrow(1, 1, 20).unsqueeze(2)).squeeze(2);
  ASSERT_GT(largest_difference(expected, plain_logprobs(*model, ids)), 1e-2);
  ScoreConfig scoring;
  const auto memories = make_memory_set({search_exactly(archive, at::kCPU)});
  for (const bool incremental : {false, true}) {
    scoring.incremental = incremental;
    const auto difference = [&] {
      return largest_difference(score_tokens(*model, ids, scoring, memories).narrow(1, 1, 20), expected);
    };
    EXPECT_LT(difference(), 2e-4) << incremental;
    const ComposedOperators composed;
    EXPECT_LT(difference(), 2e-4) << incremental;
  }
}

INSTANTIATE_TEST_SUITE_P(Elements, ScoreWithMemory,
                         testing::Values(MemoryElements::float32, MemoryElements::bfloat16, MemoryElements::int8),
                         [](const auto& info) { return std::string(memory_elements_name(info.param)); });

TEST(Score, ASingleTokenHasNothingBeforeIt) {
  const ModelConfig config = small_model_cases().front().config;
  const auto model = make_small_model(config);
  const at::Tensor logprobs = score_tokens(*model, at::zeros({1, 1}, at::kLong), {});
  EXPECT_EQ(logprobs.numel(), 1);
  EXPECT_TRUE(logprobs.isnan().all().item<bool>());
}

TEST(Score, IdsOutOfTheVocabularyAreNamed) {
  const ModelConfig config = small_model_cases().front().config;
  const auto model = make_small_model(config);
  for (const std::int64_t id : {config.vocab_size, std::int64_t{-1}}) {
    EXPECT_THAT([&] { score_tokens(*model, at::full({1, 3}, id, at::kLong), {}); },
                testing::ThrowsMessage<Error>(testing::HasSubstr(fmt::format("input_ids: id {} ", id))));
  }
}

TEST(Score, StopsWhenAsked) {
  const ModelConfig config = small_model_cases().front().config;
  const auto model = make_small_model(config);
  ScoreConfig scoring;
  scoring.incremental = true;
  StopSource stop;
  std::int64_t read = 0;
  scoring.on_progress = [&](std::int64_t num_tokens) {
    read = num_tokens;
    if (num_tokens == 5) stop.request_stop();
  };
  scoring.stop = stop.token();
  EXPECT_THROW(score_tokens(*model, random_ids(config, 1, 20, 1), scoring), Interrupted);
  EXPECT_EQ(read, 5);
}

TEST(Score, BrokenWeightsAreNamed) {
  const ModelConfig config = small_model_cases().front().config;
  const auto model = make_small_model(config);
  model->parameters().get("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THROW(score_tokens(*model, random_ids(config, 1, 20, 1), {}), Error);
}

}  // namespace
}  // namespace lookback
