// Loss where copying would do: the scored tokens of a text split into those that repeat what stood far back, those that
// repeat what stood near, and the rest. What a memory is good for shows in the first; the rest tells whether models
// differ otherwise.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/json.h"
#include "data/repeats.h"
#include "eval/wilson.h"

namespace lookback {

struct RepeatConfig {
  // A token repeats when it stood before in its document behind the same min_match tokens.
  std::int64_t min_match = usual_min_match;
  // Its nearest source lies at most so many tokens back: near; else far. The same for all models that are compared.
  std::int64_t near_tokens = 0;
};

struct TokenLosses {
  std::int64_t num_tokens = 0;
  double nll_sum = 0;  // nats
  Interval interval;   // 95%, of mean_nll(), by drawing documents (bootstrap.h); NaN with fewer than two documents

  double mean_nll() const { return nll_sum / static_cast<double>(num_tokens); }  // NaN without tokens
};

// Repeats whose source lies at least `begin` and fewer than `end` tokens back.
struct DistanceLosses {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  TokenLosses losses;
};

// How often an upper group's retrieval held the chunk from which a far repeat could be copied.
struct SourceRecall {
  std::int64_t num_tokens = 0;  // far repeats whose source lies in a chunk that could be retrieved
  std::int64_t num_recalled = 0;
  Interval interval;  // as TokenLosses'

  double recall() const { return static_cast<double>(num_recalled) / static_cast<double>(num_tokens); }
};

struct RepeatLosses {
  RepeatConfig config;
  TokenLosses far, near, rest;
  std::vector<DistanceLosses> far_by_distance;  // near_tokens + 1 up to the next power of two, then doubling
  std::vector<SourceRecall> recall;             // of each upper group, where it is known
};

// For each token, how many tokens back its nearest source stands; 0 for tokens that repeat nothing. first_seen: for
// each the first position of the document that its prediction could see; a source counts where all of its run could be
// seen.
std::vector<std::int64_t> seen_repeats(std::span<const std::int64_t> ids, std::span<const std::int64_t> first_seen,
                                       const RepeatConfig& config);

// Adds up documents one after another.
class RepeatLossCounter {
 public:
  // Throws Error for numbers out of range.
  explicit RepeatLossCounter(const RepeatConfig& config);

  // Of the document's tokens, but for the first, which is not scored: seen_repeats(), and negative log-likelihoods.
  // recall: one an upper group, or none.
  void add_document(std::span<const std::int64_t> distances, std::span<const float> nll,
                    std::span<const SourceRecall> recall = {});

  // With the intervals, whose draws are the same in every call.
  RepeatLosses result() const;

 private:
  struct Sum {
    std::int64_t num_tokens = 0;
    double nll = 0;
  };
  // Of a document: far, near, rest, and far ones by distance.
  using DocumentSums = std::vector<Sum>;
  struct Counts {
    DocumentSums losses;
    std::vector<SourceRecall> recall;
  };

  std::size_t class_of(std::int64_t distance) const;

  RepeatConfig config_;
  std::vector<Counts> documents_;
};

// For machines; what is NaN is null.
Json to_json(const RepeatLosses& repeats);

}  // namespace lookback
