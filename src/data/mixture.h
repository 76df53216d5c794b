// How much of each corpus goes into one stream of documents, and in which order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lookback {

// A corpus of a mixture, and what became of it. Tokens include the end-of-text token behind each document.
struct MixtureEntry {
  std::string name;
  double weight = 0.0;  // its part of the stream's tokens is this over the sum of the weights
  std::int64_t num_documents = 0, num_tokens = 0;      // the corpus
  std::int64_t mixed_documents = 0, mixed_tokens = 0;  // in the stream, repeated ones each time
};

// Document `document` of corpus `corpus`, both counted from 0.
struct MixedDocument {
  std::size_t corpus = 0;
  std::int64_t document = 0;
  bool operator==(const MixedDocument&) const = default;
};

// The tokens of the smallest stream in these shares that holds every document: max over the corpora of
// num_tokens / (weight / sum of weights).
std::int64_t smallest_whole_mixture(std::span<const MixtureEntry> corpora);

// The stream of about `total_tokens` in the shares that the weights (above 0) say. Corpus c is to give
// t = total_tokens * weight / sum of weights tokens, of its n: every document floor(t / n) times, and for the rest
// whole documents in a random order until the next would lead further away from t than stopping; so it is missed by at
// most half a document, but for a corpus that would give none, which gives one. All of it is in one random order.
// `seed` decides both orders. document_tokens[c]: the tokens of each document of corpus c. Fills in mixed_documents and
// mixed_tokens.
std::vector<MixedDocument> plan_mixture(std::span<MixtureEntry> corpora,
                                        const std::vector<std::vector<std::int64_t>>& document_tokens,
                                        std::int64_t total_tokens, std::uint64_t seed);

}  // namespace lookback
