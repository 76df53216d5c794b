// ROUGE against rouge-score 0.1.2 (tests/fixtures/rouge/make_pairs.py), and its bootstrap against plain arithmetic.
#include "eval/rouge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.h"
#include "core/json.h"

namespace lookback {
namespace {

using testing::ElementsAre;

TEST(Rouge, AgreesWithThePackageOnTwoHundredPairs) {
  std::ifstream file(LOOKBACK_SOURCE_DIR "/tests/fixtures/rouge/pairs.jsonl");
  int num_pairs = 0;
  for (std::string line; std::getline(file, line); ++num_pairs) {
    const Json pair = parse_json(line, "pairs.jsonl");
    const auto reference = pair.at("reference").get<std::string>();
    const auto prediction = pair.at("prediction").get<std::string>();
    const RougeScores scores = rouge_scores(reference, prediction);
    for (std::size_t k = 0; k < scores.size(); ++k) {
      EXPECT_NEAR(scores[k], pair.at(rouge_names[k]).get<double>(), 1e-12)
          << rouge_names[k] << " of line " << num_pairs + 1 << ": " << reference << "\n  / " << prediction;
    }
  }
  EXPECT_EQ(num_pairs, 200);
}

TEST(Rouge, TokensAreStemsOfLettersAndDigits) {
  EXPECT_THAT(rouge_tokens("The Skies, flying_over 42nd na\xc3\xafve  streets!"),
              ElementsAre("the", "sky", "fli", "over", "42nd", "na", "ve", "street"));
  EXPECT_TRUE(rouge_tokens(" \xe2\x80\x94 ").empty());
}

TEST(Rouge, MeansAndIntervals) {
  // Half of the pairs 0, half 1: the mean of n draws has the standard deviation 0.5 / sqrt(n).
  std::vector<RougeScores> pairs;
  for (int i = 0; i < 400; ++i) pairs.push_back({i % 2 == 0 ? 0.0 : 1.0, 0.25, i / 399.0});
  const RougeSummary summary = summarize_rouge(pairs, 3);
  EXPECT_NEAR(summary.mean[0], 0.5, 1e-12);
  EXPECT_NEAR(summary.interval[0].low, 0.5 - 1.96 * 0.025, 0.008);
  EXPECT_NEAR(summary.interval[0].high, 0.5 + 1.96 * 0.025, 0.008);
  EXPECT_NEAR(summary.interval[1].low, 0.25, 1e-12);
  EXPECT_NEAR(summary.interval[1].high, 0.25, 1e-12);
  EXPECT_NEAR(summary.mean[2], 0.5, 1e-12);
  EXPECT_LT(summary.interval[2].high - summary.interval[2].low, summary.interval[0].high - summary.interval[0].low);
  EXPECT_EQ(summarize_rouge(pairs, 3).interval[0].low, summary.interval[0].low);
  EXPECT_THROW(summarize_rouge({}, 0), Error);
}

}  // namespace
}  // namespace lookback
