#include "eval/repeat_losses.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/error.h"
#include "data/repeats.h"
#include "eval/bootstrap.h"

namespace lookback {
namespace {

// Places in a document's sums; behind them far repeats by distance.
enum Place : std::size_t { far, near, rest, first_distance };

// The first distance of the far repeats' bucket i: near_tokens + 1, the power of two behind it, twice that, ...
std::int64_t bucket_begin(std::size_t bucket, std::int64_t near_tokens) {
  if (bucket == 0) return near_tokens + 1;
  return std::int64_t{1} << (std::bit_width(static_cast<std::uint64_t>(near_tokens + 1)) + static_cast<int>(bucket) -
                             1);
}

std::size_t bucket_of(std::int64_t distance, std::int64_t near_tokens) {
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(distance)) -
                                  std::bit_width(static_cast<std::uint64_t>(near_tokens + 1)));
}

Json interval_json(const Interval& interval) { return {number_or_null(interval.low), number_or_null(interval.high)}; }

Json losses_json(const TokenLosses& losses) {
  return {{"num_tokens", losses.num_tokens},
          {"mean_nll", number_or_null(losses.mean_nll())},
          {"interval_95", interval_json(losses.interval)}};
}

}  // namespace

std::vector<std::int64_t> seen_repeats(std::span<const std::int64_t> ids, std::span<const std::int64_t> first_seen,
                                       const RepeatConfig& config) {
  std::vector<std::int64_t> distances = repeat_distances(ids, config.min_match);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (static_cast<std::int64_t>(i) - distances[i] - config.min_match < first_seen[i]) distances[i] = 0;
  }
  return distances;
}

RepeatLossCounter::RepeatLossCounter(const RepeatConfig& config) : config_(config) {
  require(config.min_match >= 1, "min-match {}: must be at least 1", config.min_match);
  constexpr std::int64_t most_near = std::int64_t{1} << 40U;
  require(config.near_tokens >= 0 && config.near_tokens <= most_near, "near-tokens {}: must be from 0 to {}",
          config.near_tokens, most_near);
}

std::size_t RepeatLossCounter::class_of(std::int64_t distance) const {
  if (distance == 0) return rest;
  if (distance <= config_.near_tokens) return near;
  return first_distance + bucket_of(distance, config_.near_tokens);
}

void RepeatLossCounter::add_document(std::span<const std::int64_t> distances, std::span<const float> nll,
                                     std::span<const SourceRecall> recall) {
  Counts& document = documents_.emplace_back(DocumentSums(first_distance), std::vector(recall.begin(), recall.end()));
  DocumentSums& sums = document.losses;
  for (std::size_t i = 1; i < distances.size(); ++i) {
    const std::size_t place = class_of(distances[i]);
    if (sums.size() <= place) sums.resize(place + 1);
    ++sums[place].num_tokens;
    sums[place].nll += nll[i];
    if (place < first_distance) continue;
    ++sums[far].num_tokens;
    sums[far].nll += nll[i];
  }
}

RepeatLosses RepeatLossCounter::result() const {
  std::size_t num_places = first_distance;
  std::size_t num_groups = 0;
  for (const Counts& document : documents_) {
    num_places = std::max(num_places, document.losses.size());
    num_groups = std::max(num_groups, document.recall.size());
  }
  const auto sums_of = [&](std::span<const std::size_t> drawn) {
    DocumentSums sums(num_places);
    for (const std::size_t document : drawn) {
      const DocumentSums& losses = documents_[document].losses;
      for (std::size_t place = 0; place < losses.size(); ++place) {
        sums[place].num_tokens += losses[place].num_tokens;
        sums[place].nll += losses[place].nll;
      }
    }
    return sums;
  };
  const auto recall_of = [&](std::span<const std::size_t> drawn) {
    std::vector<SourceRecall> sums(num_groups);
    for (const std::size_t document : drawn) {
      const std::vector<SourceRecall>& recall = documents_[document].recall;
      for (std::size_t group = 0; group < recall.size(); ++group) {
        sums[group].num_tokens += recall[group].num_tokens;
        sums[group].num_recalled += recall[group].num_recalled;
      }
    }
    return sums;
  };
  const auto means_of = [&](std::span<const std::size_t> drawn) {
    std::vector<double> means;
    for (const Sum& sum : sums_of(drawn)) means.push_back(sum.nll / static_cast<double>(sum.num_tokens));
    for (const SourceRecall& sum : recall_of(drawn)) means.push_back(sum.recall());
    return means;
  };
  constexpr std::uint64_t seed = 0;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<Interval> intervals(num_places + num_groups, Interval{nan, nan});
  if (documents_.size() >= 2) intervals = bootstrap_intervals(documents_.size(), seed, means_of);
  std::vector<std::size_t> all(documents_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const DocumentSums sums = sums_of(all);
  const auto at = [&](std::size_t place) {
    return TokenLosses{sums[place].num_tokens, sums[place].nll, intervals[place]};
  };
  RepeatLosses result{config_, at(far), at(near), at(rest), {}, recall_of(all)};
  for (std::size_t group = 0; group < num_groups; ++group) {
    result.recall[group].interval = intervals[num_places + group];
  }
  for (std::size_t place = first_distance; place < num_places; ++place) {
    const std::size_t bucket = place - first_distance;
    result.far_by_distance.push_back(
        {bucket_begin(bucket, config_.near_tokens), bucket_begin(bucket + 1, config_.near_tokens), at(place)});
  }
  return result;
}

Json to_json(const RepeatLosses& repeats) {
  Json by_distance = Json::array();
  for (const DistanceLosses& bucket : repeats.far_by_distance) {
    Json one = {{"begin", bucket.begin}, {"end", bucket.end}};
    one.update(losses_json(bucket.losses));
    by_distance.push_back(std::move(one));
  }
  Json recall = Json::array();
  for (const SourceRecall& group : repeats.recall) {
    recall.push_back({{"num_tokens", group.num_tokens},
                      {"recall_at_k", number_or_null(group.recall())},
                      {"interval_95", interval_json(group.interval)}});
  }
  return {{"min_match", repeats.config.min_match},
          {"near_tokens", repeats.config.near_tokens},
          {"far", losses_json(repeats.far)},
          {"near", losses_json(repeats.near)},
          {"rest", losses_json(repeats.rest)},
          {"far_by_distance", by_distance},
          {"recall", recall}};
}

}  // namespace lookback
