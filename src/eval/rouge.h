// ROUGE (Lin 2004) as Google's package rouge-score 0.1.2 computes it with use_stemmer=True, number by number.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/wilson.h"

namespace lookback {

inline constexpr std::array<const char*, 3> rouge_names{"rouge1", "rouge2", "rougeL"};

// F1 of unigrams, bigrams and the longest common subsequence of tokens; each in [0, 1].
using RougeScores = std::array<double, 3>;

// Runs of ASCII letters and digits of the text in lower case; those of more than three characters as Porter's stems.
std::vector<std::string> rouge_tokens(std::string_view text);

// 0 where either text has no tokens (or no bigrams). Time: the product of the two texts' tokens.
RougeScores rouge_scores(std::string_view reference, std::string_view prediction);

// The mean over pairs and its 95% interval: the 2.5% and 97.5% quantiles of the means of 1,000 samples of as many
// pairs, drawn with replacement (percentile bootstrap).
struct RougeSummary {
  std::array<double, 3> mean{};
  std::array<Interval, 3> interval{};
};

// Throws Error without pairs.
RougeSummary summarize_rouge(const std::vector<RougeScores>& pairs, std::uint64_t seed);

}  // namespace lookback
