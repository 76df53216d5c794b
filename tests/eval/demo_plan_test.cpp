#include "eval/demo_plan.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "eval/demo_evaluation.h"
#include "models/model.h"
#include "train/schedule.h"

namespace lookback {
namespace {

DemoPlan plan_of(bool quick) { return make_demo_plan(257, 0, 800, quick); }

TEST(DemoPlan, BothModelsHaveTheSameSize) {
  const auto size = [](const ModelConfig& config) {
    return static_cast<double>(make_model(config, at::kCPU, 0)->parameters().num_elements());
  };
  const double drt = size(plan_of(false).drt);
  EXPECT_NEAR(size(plan_of(false).sliding_window) / drt, 1, 0.005);
  // The recipe's 189,312 with 129 rows of the embedding; here there are 258.
  EXPECT_EQ(drt, 189'312 + (258 - 129) * 64);
}

TEST(DemoPlan, ReachesAThousandTimesTheTrainingLength) {
  const DemoPlan plan = plan_of(false);
  EXPECT_EQ(plan.lengths.front().num_chunks, plan.curriculum.stages.back().num_chunks);
  EXPECT_GE(plan.lengths.back().num_chunks, 1000 * plan.lengths.front().num_chunks);
  EXPECT_LT(plan_of(true).lengths.back().num_chunks, plan.lengths.back().num_chunks);
}

TEST(DemoPlan, LearningRateIsTheRecipes) {
  const DemoPlan plan = plan_of(false);
  for (const std::int64_t step : {0, 10, 49, 50, 400, 799}) {
    const double wanted = 2e-3 * std::min(1.0, static_cast<double>(step + 1) / 50) *
                          (0.05 + 0.475 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / 800)));
    EXPECT_NEAR(learning_rate(plan.train, step), wanted, 1e-12);
  }
}

TEST(DemoEvaluation, AsksAllSamplesAndLooksInside) {
  DemoPlan plan = plan_of(true);
  plan.sample = {16, 1};
  const auto tokenizer = load_tokenizer("bytes");
  const auto model = make_model(plan.drt, at::kCPU, 0);
  std::int64_t num_tokens = 0;
  const DemoCell cell =
      evaluate_demo_cell(*model, *tokenizer, plan, {16, 3}, 1, 0, [&](std::int64_t count) { num_tokens += count; });
  EXPECT_EQ(cell.num_samples, 3);
  EXPECT_TRUE(cell.retrieves);
  EXPECT_EQ(num_tokens, 3 * (15 * 31 + 1));
  const DemoInspection seen = inspect_demo_sample(*model, *tokenizer, plan, 0, [](std::int64_t) {});
  EXPECT_EQ(seen.question.substr(0, 13), "|What is key ");
  EXPECT_EQ(seen.needle,
            "|key " + seen.question.substr(13, seen.question.find('?') - 13) + " is " + seen.expected + "|");
  ASSERT_EQ(seen.retrieved.size(), 4U);
  double sum = 0;
  for (const DemoRetrieved& chunk : seen.retrieved) sum += chunk.weight;
  EXPECT_NEAR(sum, 1, 1e-5);
  for (const DemoRetrieved& chunk : seen.retrieved) {
    EXPECT_EQ(chunk.holds_needle, chunk.text.find(seen.needle) != std::string::npos);
  }
  EXPECT_EQ(demo_example_prompt(*tokenizer, plan, 0).size(), 63U * 31 + 1);
}

}  // namespace
}  // namespace lookback
