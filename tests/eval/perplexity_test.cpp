#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numbers>

#include "core/error.h"
#include "data/repeats.h"
#include "lookback/stop.h"
#include "models/small_models.h"

namespace lookback {
namespace {

std::vector<EvaluationDocument> documents_of(const std::vector<std::int64_t>& lengths) {
  std::vector<EvaluationDocument> documents;
  for (const std::int64_t length : lengths) {
    const at::Tensor ids = random_ids(1, std::max<std::int64_t>(length, 1), 39, static_cast<std::uint64_t>(length) + 5);
    const auto* values = ids.const_data_ptr<std::int64_t>();
    documents.push_back({{values, values + length}});
  }
  return documents;
}

NextDocument reader(const std::vector<EvaluationDocument>& documents) {
  return [&documents, next = std::size_t{0}](EvaluationDocument& document) mutable {
    if (next == documents.size()) return false;
    document = documents[next++];
    return true;
  };
}

// -log p(ids[target]) given the window that holds it, by the definition, one forward a token, in float64.
double direct_nll(Model& model, const std::vector<std::int64_t>& ids, std::int64_t target, std::int64_t context,
                  std::int64_t stride) {
  const std::int64_t window =
      target <= context
          ? 0
          : static_cast<std::int64_t>(std::ceil(static_cast<double>(target - context) / static_cast<double>(stride)));
  const std::int64_t begin = window * stride;
  const at::Tensor inputs = at::tensor(ids, at::kLong).narrow(0, begin, target - begin).unsqueeze(0);
  const at::Tensor logits = model.logits(model.hidden_states(inputs, {})).to(at::kDouble)[0][target - begin - 1];
  return -logits.log_softmax(0)[ids[static_cast<std::size_t>(target)]].item<double>();
}

struct Expected {
  double nll_sum = 0;
  std::int64_t num_tokens = 0;
  std::int64_t num_bytes = 0;
  std::vector<std::pair<double, double>> documents;  // nll, tokens
};

std::int32_t bytes_of(std::int64_t id) { return static_cast<std::int32_t>(id % 3 + 1); }

Expected expect(Model& model, const std::vector<EvaluationDocument>& documents, std::int64_t context,
                std::int64_t stride) {
  Expected expected;
  for (const EvaluationDocument& document : documents) {
    double sum = 0;
    const auto length = static_cast<std::int64_t>(document.ids.size());
    for (std::int64_t target = 1; target < length; ++target) {
      sum += direct_nll(model, document.ids, target, context, stride);
      expected.num_bytes += bytes_of(document.ids[static_cast<std::size_t>(target)]);
    }
    if (length < 2) continue;
    expected.nll_sum += sum;
    expected.num_tokens += length - 1;
    expected.documents.emplace_back(sum, static_cast<double>(length - 1));
  }
  return expected;
}

class PerplexityTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const bool drt = std::string(GetParam()) == "drt";
    model_ = make_model(drt ? small_drt_config() : small_sliding_window_config(), at::kCPU, 3);
    model_->parameters().freeze(at::kFloat);
    for (std::int64_t id = 0; id < 40; ++id) config_.token_bytes.push_back(bytes_of(id));
  }
  PerplexityResult evaluate() { return evaluate_perplexity(*model_, reader(documents_), config_, {}); }

  std::unique_ptr<Model> model_;
  PerplexityConfig config_;
  std::vector<EvaluationDocument> documents_ = documents_of({50, 1, 2, 24, 25, 0});
};

TEST_P(PerplexityTest, EqualsTheDefinitionForEveryStride) {
  for (const auto& [context, stride] : {std::pair<std::int64_t, std::int64_t>{24, 24}, {24, 7}, {100, 50}}) {
    config_.context = context;
    config_.stride = stride;
    const Expected expected = expect(*model_, documents_, context, stride);
    // In batches, one window at a time, and in segments of a session.
    for (const std::int64_t at_once : {16384, 30, 1}) {
      config_.most_tokens_at_once = at_once;
      config_.segment_tokens = 11;
      const PerplexityResult result = evaluate();
      EXPECT_EQ(result.num_tokens, expected.num_tokens);
      EXPECT_EQ(result.num_documents, 4);
      EXPECT_NEAR(result.nll_sum, expected.nll_sum, 2e-4 * static_cast<double>(expected.num_tokens))
          << context << " " << stride << " " << at_once;
      EXPECT_EQ(result.num_bytes, expected.num_bytes);
      EXPECT_NEAR(result.bits_per_byte(),
                  expected.nll_sum / std::numbers::ln2 / static_cast<double>(expected.num_bytes), 1e-3);
      EXPECT_NEAR(result.perplexity(), std::exp(expected.nll_sum / static_cast<double>(expected.num_tokens)), 0.05);
    }
  }
}

// Repeats are those that the window of each prediction holds, and the split changes no loss.
TEST_P(PerplexityTest, RepeatsAreOfWhatAWindowSees) {
  documents_ = documents_of({150});
  std::vector<std::int64_t>& ids = documents_[0].ids;
  for (std::size_t i = 0; i < 100; ++i) ids[50 + i] = ids[i];  // 50 back
  config_.context = 24;
  config_.stride = 7;
  const double nll_sum = evaluate().nll_sum;
  config_.repeats = RepeatConfig{3, 10};
  const auto repeats_of = [&](std::int64_t context, std::int64_t stride) {
    config_.context = context;
    config_.stride = stride;
    return *evaluate().repeats;
  };
  const RepeatLosses narrow = repeats_of(24, 7);
  EXPECT_EQ(narrow.far.num_tokens, 0);
  EXPECT_EQ(narrow.rest.num_tokens, 149);
  EXPECT_NEAR(narrow.rest.nll_sum, nll_sum, 1e-6);
  // From token 53 on; a window of 60 that moves by 20 sees the source of those that come last in it.
  EXPECT_EQ(repeats_of(0, 0).far.num_tokens, 150 - 53);
  std::int64_t seen = 0;
  for (std::int64_t target = 53; target < 150; ++target) {
    const std::int64_t window = target <= 60 ? 0 : (target - 60 + 19) / 20;
    seen += target - 50 - 3 >= window * 20 ? 1 : 0;
  }
  EXPECT_EQ(repeats_of(60, 20).far.num_tokens, seen);
  EXPECT_GT(seen, 10);
}

// A model that is fed the latest chunks has the source exactly where it is among these.
TEST(PerplexityRecall, IsThatOfTheChunksThatWereFed) {
  std::vector<EvaluationDocument> documents = documents_of({200, 201});
  for (EvaluationDocument& document : documents) {
    for (std::size_t i = 0; i < 40; ++i) document.ids[60 + i] = document.ids[20 + i];   // 40 back
    for (std::size_t i = 0; i < 20; ++i) document.ids[115 + i] = document.ids[95 + i];  // 20 back
    for (std::size_t i = 0; i < 60; ++i) document.ids[140 + i] = document.ids[i];  // 140 back, some of it 80 or 120
  }
  ModelConfig model_config = small_drt_config();  // chunks of 8 tokens, the best 3
  PerplexityConfig config;
  config.context = 200;
  config.stride = 200;
  config.repeats = RepeatConfig{3, 12};
  const auto recall_when_fed = [&](const char* fed) {
    model_config.own<DrtConfig>().fed = fed;
    const auto model = make_model(model_config, at::kCPU, 3);
    return evaluate_perplexity(*model, reader(documents), config, {}).repeats->recall;
  };
  std::int64_t num_tokens = 0;
  std::int64_t num_among_latest = 0;
  for (const EvaluationDocument& document : documents) {
    const std::vector<std::int64_t> distances = repeat_distances(document.ids, 3);
    for (std::int64_t target = 1; target < std::ssize(document.ids); ++target) {
      const std::int64_t distance = distances[static_cast<std::size_t>(target)];
      const std::int64_t chunks_back = (target - 1) / 8 - (target - distance) / 8;  // of the chunk that reads
      if (distance <= 12 || chunks_back < 2) continue;
      ++num_tokens;
      num_among_latest += chunks_back <= 4 ? 1 : 0;
    }
  }
  EXPECT_GT(num_among_latest, 10);
  EXPECT_LT(num_among_latest, num_tokens - 10);
  for (const SourceRecall& group : recall_when_fed("latest")) {
    EXPECT_EQ(group.num_tokens, num_tokens);
    EXPECT_EQ(group.num_recalled, num_among_latest);
  }
  const std::vector<SourceRecall> none = recall_when_fed("none");
  ASSERT_EQ(none.size(), 2U) << "upper groups";
  EXPECT_EQ(none[1].num_tokens, num_tokens);
  EXPECT_EQ(none[1].num_recalled, 0);
  config.most_tokens_at_once = 50;  // in segments, whose retrievals are not known
  EXPECT_TRUE(recall_when_fed("latest").empty());
}

TEST_P(PerplexityTest, FullContextIsOneLongWindow) {
  config_.context = 0;
  config_.segment_tokens = 13;
  EXPECT_NEAR(evaluate().nll_sum, expect(*model_, documents_, 1000, 1000).nll_sum, 2e-4 * 160);
}

TEST_P(PerplexityTest, StandardErrorIsThatOfARatioOverDocuments) {
  config_.context = 16;
  config_.stride = 8;
  const Expected expected = expect(*model_, documents_, 16, 8);
  const auto count = static_cast<double>(expected.documents.size());
  const double mean = expected.nll_sum / static_cast<double>(expected.num_tokens);
  // By the residuals' sample variance (their mean is 0), divided by the mean number of tokens.
  double squares = 0;
  for (const auto& [nll, tokens] : expected.documents) squares += (nll - mean * tokens) * (nll - mean * tokens);
  const double mean_tokens = static_cast<double>(expected.num_tokens) / count;
  const double error = std::sqrt(squares / (count - 1) / count) / mean_tokens;
  EXPECT_NEAR(evaluate().standard_error, error, 1e-3 * error);

  documents_ = documents_of({30});
  EXPECT_TRUE(std::isnan(evaluate().standard_error));
  EXPECT_TRUE(to_json(evaluate())["standard_error"].is_null());
}

TEST_P(PerplexityTest, BucketsArePositionsInTheDocument) {
  documents_ = documents_of({2600, 1500});
  config_.context = 64;
  config_.stride = 64;
  const PerplexityResult result = evaluate();
  ASSERT_EQ(result.positions.size(), 3U);
  EXPECT_EQ(result.positions[0].num_tokens, 2 * 1023);
  EXPECT_EQ(result.positions[1].num_tokens, 1024 + 476);
  EXPECT_EQ(result.positions[2].num_tokens, 2600 - 2048);
  EXPECT_EQ(result.positions[2].begin, 2048);
  EXPECT_EQ(result.positions[2].end, 4096);
  double sum = 0;
  for (const PositionBucket& bucket : result.positions) sum += bucket.nll_sum;
  EXPECT_NEAR(sum, result.nll_sum, 1e-6 * sum);
  const std::string csv = perplexity_csv({result});
  EXPECT_NE(csv.find("\n64,64,2048,4096,552,"), std::string::npos) << csv;
}

TEST_P(PerplexityTest, StopsBetweenDocuments) {
  documents_ = documents_of({40, 40, 40});
  config_.context = 16;
  config_.stride = 16;
  StopSource stop;
  const auto stop_in_the_second = [&](std::int64_t scored) {
    if (scored >= 50) stop.request_stop();
  };
  const PerplexityResult result =
      evaluate_perplexity(*model_, reader(documents_), config_, stop_in_the_second, stop.token());
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.num_documents, 1);
  EXPECT_EQ(result.num_tokens, 39);
}

TEST_P(PerplexityTest, RefusesWhatMakesNoSense) {
  config_.context = 16;
  for (const std::int64_t stride : {0, 17}) {
    config_.stride = stride;
    EXPECT_THROW(evaluate(), Error);
  }
  config_.stride = 8;
  documents_ = documents_of({1});
  EXPECT_THROW(evaluate(), Error);
  documents_ = {{{1, 2, 400}}};
  EXPECT_THROW(evaluate(), Error);
}

TEST_P(PerplexityTest, RefusesABrokenModel) {
  at::Tensor(model_->embedding()).index({1}).fill_(std::nan(""));
  EXPECT_THROW(evaluate(), Error);
}

INSTANTIATE_TEST_SUITE_P(Models, PerplexityTest, testing::Values("drt", "sliding"));

}  // namespace
}  // namespace lookback
