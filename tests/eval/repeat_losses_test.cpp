#include "eval/repeat_losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "eval/bootstrap.h"

namespace lookback {
namespace {

struct Document {
  std::vector<std::int64_t> ids;
  std::vector<float> nll;
  std::vector<std::int64_t> first_seen;
};

// Three letters, so that runs repeat at all distances; windows that move by 40.
Document random_document(std::uint64_t seed, std::int64_t length) {
  Random random(seed);
  Document document;
  for (std::int64_t i = 0; i < length; ++i) {
    document.ids.push_back(static_cast<std::int64_t>(random.below(3)));
    document.nll.push_back(static_cast<float>(random.below(1000)) / 100);
    document.first_seen.push_back(i < 100 ? 0 : (i - 60) / 40 * 40);
  }
  return document;
}

struct Sum {
  std::int64_t num_tokens = 0;
  double nll = 0;
};

// By the definition: the nearest source of each token, token by token.
std::map<std::string, Sum> sums_by_comparing_all(const std::vector<Document>& documents, const RepeatConfig& config) {
  std::map<std::string, Sum> sums;
  for (const Document& document : documents) {
    for (std::int64_t i = 1; i < std::ssize(document.ids); ++i) {
      std::int64_t source = i - 1;
      const auto same = [&](std::int64_t j) {
        for (std::int64_t k = 0; k <= config.min_match; ++k) {
          if (j < k || i < k) return false;
          if (document.ids[static_cast<std::size_t>(i - k)] != document.ids[static_cast<std::size_t>(j - k)])
            return false;
        }
        return true;
      };
      while (source >= 0 && !same(source)) --source;
      const bool seen = source >= 0 && source - config.min_match >= document.first_seen[static_cast<std::size_t>(i)];
      std::string name = !seen ? "rest" : i - source <= config.near_tokens ? "near" : "far";
      const double nll = document.nll[static_cast<std::size_t>(i)];
      ++sums[name].num_tokens;
      sums[name].nll += nll;
      if (name != "far") continue;
      std::int64_t begin = 1;
      while (2 * begin <= i - source) begin *= 2;
      name += std::to_string(std::max(begin, config.near_tokens + 1));
      ++sums[name].num_tokens;
      sums[name].nll += nll;
    }
  }
  return sums;
}

RepeatLosses count(const std::vector<Document>& documents, const RepeatConfig& config) {
  RepeatLossCounter counter(config);
  for (const Document& document : documents) {
    counter.add_document(seen_repeats(document.ids, document.first_seen, config), document.nll);
  }
  return counter.result();
}

TEST(RepeatLosses, AreThoseOfComparingAll) {
  const std::vector<Document> documents = {random_document(1, 400), random_document(2, 37), random_document(3, 900)};
  for (const RepeatConfig& config : {RepeatConfig{2, 20}, RepeatConfig{3, 0}, RepeatConfig{5, 31}}) {
    const RepeatLosses found = count(documents, config);
    auto expected = sums_by_comparing_all(documents, config);
    const auto check = [&](const std::string& name, const TokenLosses& losses) {
      EXPECT_EQ(losses.num_tokens, expected[name].num_tokens) << name;
      EXPECT_NEAR(losses.nll_sum, expected[name].nll, 1e-9) << name;
    };
    check("far", found.far);
    check("near", found.near);
    check("rest", found.rest);
    EXPECT_GT(found.far.num_tokens, 20);
    std::int64_t num_far = 0;
    std::int64_t end = config.near_tokens + 1;
    for (const DistanceLosses& bucket : found.far_by_distance) {
      EXPECT_EQ(bucket.begin, end) << "buckets follow each other";
      end = bucket.end;
      check("far" + std::to_string(bucket.begin), bucket.losses);
      num_far += bucket.losses.num_tokens;
    }
    EXPECT_EQ(num_far, found.far.num_tokens);
  }
}

TEST(RepeatLosses, IntervalsAreOverDocuments) {
  std::vector<Document> documents(5, random_document(4, 200));
  const RepeatLosses same = count(documents, {2, 20});
  EXPECT_NEAR(same.far.interval.low, same.far.mean_nll(), 1e-9);
  EXPECT_NEAR(same.far.interval.high, same.far.mean_nll(), 1e-9);
  for (float& nll : documents[0].nll) nll += 1;
  const RepeatLosses one_higher = count(documents, {2, 20});
  EXPECT_LT(one_higher.rest.interval.low, one_higher.rest.mean_nll() - 0.1);
  EXPECT_GT(one_higher.rest.interval.high, one_higher.rest.mean_nll() + 0.1);
  documents.resize(1);
  EXPECT_TRUE(std::isnan(count(documents, {2, 20}).far.interval.low));
  EXPECT_TRUE(to_json(count(documents, {2, 20}))["far"]["interval_95"][0].is_null());
  EXPECT_TRUE(std::isnan(count({}, {2, 20}).far.mean_nll()));
  EXPECT_THROW(RepeatLossCounter({0, 20}), Error);
  EXPECT_THROW(RepeatLossCounter({2, -1}), Error);
  EXPECT_THROW(RepeatLossCounter({2, std::numeric_limits<std::int64_t>::max()}), Error);
}

// The mean of many numbers is normal: its interval is 1.96 standard errors on either side.
TEST(Bootstrap, OfAMeanIsThatOfTheNormalDistribution) {
  Random random(7);
  std::vector<double> numbers;
  for (int i = 0; i < 500; ++i) numbers.push_back(static_cast<double>(random.below(1000)));
  const auto mean_of = [&](std::span<const std::size_t> drawn) {
    double sum = 0;
    for (const std::size_t i : drawn) sum += numbers[i];
    return std::vector<double>{sum / static_cast<double>(drawn.size()), NAN};
  };
  const std::vector<Interval> intervals = bootstrap_intervals(numbers.size(), 1, mean_of);
  double mean = 0;
  double squares = 0;
  for (const double number : numbers) mean += number / 500;
  for (const double number : numbers) squares += (number - mean) * (number - mean);
  const double error = std::sqrt(squares / 499 / 500);
  EXPECT_NEAR(intervals[0].low, mean - 1.96 * error, 0.15 * error);
  EXPECT_NEAR(intervals[0].high, mean + 1.96 * error, 0.15 * error);
  EXPECT_TRUE(std::isnan(intervals[1].low));
  EXPECT_EQ(bootstrap_intervals(numbers.size(), 1, mean_of)[0].low, intervals[0].low);
}

}  // namespace
}  // namespace lookback
