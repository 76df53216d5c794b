#include "eval/rouge.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "eval/bootstrap.h"
#include "text/porter_stemmer.h"

namespace lookback {
namespace {

// Shorter tokens are not stemmed.
constexpr std::size_t shortest_stemmed = 4;

// The two characters outside of ASCII whose lower case begins with a letter of ASCII: Python's lower() finds them.
constexpr std::string_view kelvin_sign = "\xe2\x84\xaa";   // k
constexpr std::string_view dotted_capital_i = "\xc4\xb0";  // i and a combining dot

std::string lower_case(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  while (!text.empty()) {
    std::size_t size = 1;
    if (text.starts_with(kelvin_sign)) {
      lower += 'k';
      size = kelvin_sign.size();
    } else if (text.starts_with(dotted_capital_i)) {
      lower += "i ";
      size = dotted_capital_i.size();
    } else {
      const char byte = text.front();
      lower += byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
    }
    text.remove_prefix(size);
  }
  return lower;
}

bool is_token_character(char byte) { return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'); }

// Stems as numbers, which compare faster.
using StemIds = std::vector<std::int64_t>;

StemIds number_stems(const std::vector<std::string>& stems, std::map<std::string, std::int64_t>& numbers) {
  StemIds ids;
  ids.reserve(stems.size());
  for (const std::string& stem : stems) {
    ids.push_back(numbers.emplace(stem, static_cast<std::int64_t>(numbers.size())).first->second);
  }
  return ids;
}

double f1(std::int64_t matches, std::size_t num_reference, std::size_t num_prediction) {
  // The package's order of operations, so that results agree to the last bits.
  const double precision = static_cast<double>(matches) / static_cast<double>(std::max<std::size_t>(num_prediction, 1));
  const double recall = static_cast<double>(matches) / static_cast<double>(std::max<std::size_t>(num_reference, 1));
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

std::map<StemIds, std::int64_t> count_ngrams(const StemIds& ids, std::size_t n) {
  std::map<StemIds, std::int64_t> counts;
  for (std::size_t i = 0; i + n <= ids.size(); ++i) {
    ++counts[StemIds(ids.begin() + static_cast<std::ptrdiff_t>(i), ids.begin() + static_cast<std::ptrdiff_t>(i + n))];
  }
  return counts;
}

double ngram_f1(const StemIds& reference, const StemIds& prediction, std::size_t n) {
  const auto wanted = count_ngrams(reference, n);
  std::int64_t matches = 0;
  for (const auto& [ngram, count] : count_ngrams(prediction, n)) {
    const auto found = wanted.find(ngram);
    if (found != wanted.end()) matches += std::min(count, found->second);
  }
  const auto num_ngrams = [n](const StemIds& ids) { return ids.size() < n ? 0 : ids.size() - n + 1; };
  return f1(matches, num_ngrams(reference), num_ngrams(prediction));
}

std::int64_t longest_common_subsequence(const StemIds& a, const StemIds& b) {
  // lengths[j]: of a's tokens so far and b's first j.
  std::vector<std::int64_t> lengths(b.size() + 1);
  for (const std::int64_t id : a) {
    std::int64_t diagonal = 0;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::int64_t above = lengths[j + 1];
      lengths[j + 1] = id == b[j] ? diagonal + 1 : std::max(above, lengths[j]);
      diagonal = above;
    }
  }
  return lengths.back();
}

}  // namespace

std::vector<std::string> rouge_tokens(std::string_view text) {
  std::vector<std::string> tokens;
  const std::string lower = lower_case(text);
  auto begin = std::ranges::find_if(lower, is_token_character);
  while (begin != lower.end()) {
    const auto end = std::find_if_not(begin, lower.end(), is_token_character);
    std::string token(begin, end);
    tokens.push_back(token.size() < shortest_stemmed ? std::move(token) : porter_stem(token));
    begin = std::find_if(end, lower.end(), is_token_character);
  }
  return tokens;
}

RougeScores rouge_scores(std::string_view reference, std::string_view prediction) {
  std::map<std::string, std::int64_t> numbers;
  const StemIds wanted = number_stems(rouge_tokens(reference), numbers);
  const StemIds found = number_stems(rouge_tokens(prediction), numbers);
  return {ngram_f1(wanted, found, 1), ngram_f1(wanted, found, 2),
          f1(longest_common_subsequence(wanted, found), wanted.size(), found.size())};
}

RougeSummary summarize_rouge(const std::vector<RougeScores>& pairs, std::uint64_t seed) {
  require(!pairs.empty(), "there are no pairs of texts to score");
  const auto count = static_cast<double>(pairs.size());
  RougeSummary summary;
  const auto means = [&](std::span<const std::size_t> drawn) {
    std::vector<double> sum(summary.mean.size());
    for (const std::size_t pair : drawn) {
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += pairs[pair][k];
    }
    for (double& one : sum) one /= count;
    return sum;
  };
  const std::vector<Interval> intervals = bootstrap_intervals(pairs.size(), seed, means);
  std::ranges::copy(intervals, summary.interval.begin());
  for (std::size_t k = 0; k < summary.mean.size(); ++k) {
    for (const RougeScores& scores : pairs) summary.mean[k] += scores[k] / count;
  }
  return summary;
}

}  // namespace lookback
