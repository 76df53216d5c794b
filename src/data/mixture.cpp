#include "data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.h"

namespace lookback {
namespace {

double sum_of_weights(std::span<const MixtureEntry> corpora) {
  double sum = 0.0;
  for (const MixtureEntry& corpus : corpora) sum += corpus.weight;
  return sum;
}

}  // namespace

std::int64_t smallest_whole_mixture(std::span<const MixtureEntry> corpora) {
  const double sum = sum_of_weights(corpora);
  double tokens = 0.0;
  for (const MixtureEntry& corpus : corpora) {
    tokens = std::max(tokens, static_cast<double>(corpus.num_tokens) * sum / corpus.weight);
  }
  return std::llround(tokens);
}

std::vector<MixedDocument> plan_mixture(std::span<MixtureEntry> corpora,
                                        const std::vector<std::vector<std::int64_t>>& document_tokens,
                                        std::int64_t total_tokens, std::uint64_t seed) {
  const double sum = sum_of_weights(corpora);
  std::vector<MixedDocument> plan;
  for (std::size_t c = 0; c < corpora.size(); ++c) {
    MixtureEntry& corpus = corpora[c];
    const std::vector<std::int64_t>& tokens = document_tokens[c];
    const std::int64_t target = std::llround(static_cast<double>(total_tokens) * corpus.weight / sum);
    const std::int64_t num_copies = target / corpus.num_tokens;
    const auto take = [&](std::int64_t document) {
      plan.push_back({c, document});
      ++corpus.mixed_documents;
      corpus.mixed_tokens += tokens[static_cast<std::size_t>(document)];
    };
    corpus.mixed_documents = corpus.mixed_tokens = 0;
    std::vector<std::int64_t> order(tokens.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    for (std::int64_t copy = 0; copy < num_copies; ++copy) std::ranges::for_each(order, take);
    // A stream of its own for each corpus: what one holds does not change what is taken of another.
    Random(seed, c + 1).shuffle(order);
    for (const std::int64_t document : order) {
      const std::int64_t missing = target - corpus.mixed_tokens;
      const std::int64_t too_many = tokens[static_cast<std::size_t>(document)] - missing;
      if (too_many > missing && corpus.mixed_documents > 0) break;
      take(document);
    }
  }
  Random(seed).shuffle(plan);
  return plan;
}

}  // namespace lookback
