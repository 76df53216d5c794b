// Against Hugging Face's processors (tests/data/generate/sampling.json) and numbers worked out by hand.
#include "generate/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/json.h"

namespace lookback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float gone = -std::numeric_limits<float>::infinity();

SamplingConfig config_of(const Json& settings) {
  SamplingConfig config;
  config.temperature = json_field_or(settings, "temperature", 1.0, "settings");
  config.top_k = json_field_or<std::int64_t>(settings, "top_k", 0, "settings");
  config.top_p = json_field_or(settings, "top_p", 1.0, "settings");
  config.min_p = json_field_or(settings, "min_p", 0.0, "settings");
  config.repetition_penalty = json_field_or(settings, "repetition_penalty", 1.0, "settings");
  return config;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Sampling, FiltersAgreeWithHuggingFace) {
  const Json cases = read_json_file(LOOKBACK_SOURCE_DIR "/tests/data/generate/sampling.json");
  ASSERT_GE(cases.size(), 50U);
  for (const Json& test_case : cases) {
    SCOPED_TRACE(dump_line(test_case.at("settings")));
    auto logits = test_case.at("logits").get<std::vector<float>>();
    const SamplingConfig config = config_of(test_case.at("settings"));
    const std::vector<std::int64_t> seen = {0, 3, 1};
    // sample_token leaves the filtered row behind.
    Random random(1);
    const std::int64_t id = sample_token(logits, seen, config, random);
    const Json& expected = test_case.at("expected");
    ASSERT_EQ(expected.size(), logits.size());
    EXPECT_FALSE(expected.at(static_cast<std::size_t>(id)).is_null());
    for (std::size_t i = 0; i < logits.size(); ++i) {
      SCOPED_TRACE(i);
      if (expected.at(i).is_null()) {
        EXPECT_EQ(logits[i], gone);
      } else {
        EXPECT_NEAR(logits[i], expected.at(i).get<float>(), 1e-5);
      }
    }
  }
}

TEST(Sampling, DrawsFollowTheFilteredProbabilities) {
  const Json cases = read_json_file(LOOKBACK_SOURCE_DIR "/tests/data/generate/sampling.json");
  const std::vector<std::int64_t> seen = {0, 3, 1};
  constexpr int num_draws = 4000;
  for (const std::size_t index : {2UL, 16UL, 26UL, 34UL}) {
    const Json& test_case = cases.at(index);
    SCOPED_TRACE(dump_line(test_case.at("settings")));
    const auto row = test_case.at("logits").get<std::vector<float>>();
    const auto expected = test_case.at("probabilities").get<std::vector<double>>();
    std::vector<int> counts(row.size());
    Random random(11);
    for (int draw = 0; draw < num_draws; ++draw) {
      std::vector<float> logits = row;
      ++counts[static_cast<std::size_t>(sample_token(logits, seen, config_of(test_case.at("settings")), random))];
    }
    for (std::size_t id = 0; id < row.size(); ++id) {
      // Five standard deviations of a binomial proportion.
      const double bound = 5 * std::sqrt(expected[id] * (1 - expected[id]) / num_draws);
      EXPECT_NEAR(static_cast<double>(counts[id]) / num_draws, expected[id], bound + 1e-12) << id;
    }
  }
}

TEST(Sampling, FiltersByHand) {
  std::vector<float> logits = {2, -1, 0.5F, 4};
  apply_repetition_penalty(logits, std::vector<std::int64_t>{0, 1}, 2.0);
  EXPECT_THAT(logits, ElementsAre(1, -2, 0.5F, 4));
  apply_temperature(logits, 0.5);
  EXPECT_THAT(logits, ElementsAre(2, -4, 1, 8));
  keep_top_k(logits, 3);
  EXPECT_THAT(logits, ElementsAre(2, gone, 1, 8));

  // Probabilities 0.1, 0.4, 0.2, 0.3: 0.4 + 0.3 = 0.7 does not reach 0.75, so 0.2 stays too.
  const auto log = [](double value) { return static_cast<float>(std::log(value)); };
  std::vector<float> shares = {log(0.1), log(0.4), log(0.2), log(0.3)};
  keep_top_p(shares, 0.75);
  EXPECT_THAT(shares, ElementsAre(gone, log(0.4), log(0.2), log(0.3)));
  keep_top_p(shares, 0.4);
  EXPECT_THAT(shares, ElementsAre(gone, log(0.4), gone, gone));

  std::vector<float> other = {log(0.1), log(0.4), log(0.2), log(0.3)};
  keep_min_p(other, 0.6);  // 0.6 * 0.4 = 0.24
  EXPECT_THAT(other, ElementsAre(gone, log(0.4), gone, log(0.3)));
}

TEST(Sampling, TiesKeepTheLowerId) {
  std::vector<float> logits = {0, 1, 1, 1};
  EXPECT_EQ(greedy_token(logits), 1);
  keep_top_p(logits, 0.5);
  EXPECT_THAT(logits, ElementsAre(gone, 1, 1, gone));
}

TEST(Sampling, SeedDecidesTheTokens) {
  const auto tokens = [](std::uint64_t seed) {
    Random random(seed);
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 12; ++i) {
      std::vector<float> logits = {0, 0, 0, 0, 0, 0, 0, 0};
      ids.push_back(sample_token(logits, {}, {}, random));
    }
    return ids;
  };
  EXPECT_EQ(tokens(5), tokens(5));
  EXPECT_NE(tokens(5), tokens(6));
  // Eight equal tokens: the id is the first three bits of each draw of the generator.
  Random random(5);
  std::vector<std::int64_t> expected;
  for (int i = 0; i < 12; ++i) expected.push_back(static_cast<std::int64_t>(random.next_u64() >> 61U));
  EXPECT_EQ(tokens(5), expected);
}

TEST(Sampling, GreedyNeedsNoDraw) {
  Random random(3);
  const std::string before = random.state();
  std::vector<float> logits = {1, 5, 2};
  SamplingConfig config;
  config.greedy = true;
  EXPECT_EQ(sample_token(logits, {}, config, random), 1);
  EXPECT_EQ(random.state(), before);
  // The penalty counts in greedy decoding too, as in Hugging Face.
  config.repetition_penalty = 5;
  std::vector<float> again = {1, 5, 2};
  EXPECT_EQ(sample_token(again, std::vector<std::int64_t>{1}, config, random), 2);
}

TEST(Sampling, BrokenLogitsAreRefused) {
  Random random(3);
  SamplingConfig greedy;
  greedy.greedy = true;
  for (const SamplingConfig& config : {SamplingConfig{}, greedy}) {
    std::vector<float> with_nan = {1, std::numeric_limits<float>::quiet_NaN(), 2};
    EXPECT_THAT(message_of([&] { sample_token(with_nan, {}, config, random); }), HasSubstr("NaN"));
    std::vector<float> none = {gone, gone};
    EXPECT_THAT(message_of([&] { sample_token(none, {}, config, random); }), HasSubstr("no token is left"));
    std::vector<float> infinite = {1, -gone};
    EXPECT_THAT(message_of([&] { sample_token(infinite, {}, config, random); }), HasSubstr("overflow"));
  }
}

TEST(Sampling, SettingsOutOfRangeAreNamed) {
  const auto message = [](auto set) {
    SamplingConfig config;
    set(config);
    return message_of([&] { check_sampling_config(config); });
  };
  EXPECT_EQ(message([](SamplingConfig&) {}), "");
  EXPECT_THAT(message([](SamplingConfig& c) { c.temperature = 0; }), HasSubstr("temperature 0"));
  EXPECT_THAT(message([](SamplingConfig& c) { c.temperature = NAN; }), HasSubstr("temperature nan"));
  EXPECT_THAT(message([](SamplingConfig& c) { c.top_k = -1; }), HasSubstr("top-k -1"));
  EXPECT_THAT(message([](SamplingConfig& c) { c.top_p = 0; }), HasSubstr("top-p 0"));
  EXPECT_THAT(message([](SamplingConfig& c) { c.min_p = 1.5; }), HasSubstr("min-p 1.5"));
  EXPECT_THAT(message([](SamplingConfig& c) { c.repetition_penalty = 0; }), HasSubstr("repetition penalty 0"));
}

}  // namespace
}  // namespace lookback
