#include "eval/perplexity.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <span>

#include "core/clock.h"
#include "core/error.h"
#include "models/log_likelihood.h"

namespace lookback {
namespace {

constexpr std::int64_t first_bucket_end = 1024;

// Reads ids [begin, begin + length) of its document; predicts those from first_target to begin + length, inclusive.
struct Window {
  std::int64_t begin = 0;
  std::int64_t length = 0;
  std::int64_t first_target = 0;
};

std::vector<Window> windows_of(std::int64_t num_ids, const PerplexityConfig& config) {
  // The last token predicts nothing.
  const std::int64_t num_inputs = num_ids - 1;
  const std::int64_t context = config.context == 0 ? num_inputs : config.context;
  std::vector<Window> windows;
  std::int64_t next_target = 1;
  for (std::int64_t begin = 0; next_target < num_ids; begin += config.stride) {
    const std::int64_t end = std::min(num_inputs, begin + context);
    windows.push_back({begin, end - begin, next_target});
    next_target = end + 1;
  }
  return windows;
}

// For each token, the first position that its prediction could see.
std::vector<std::int64_t> first_seen_of(std::int64_t num_ids, const PerplexityConfig& config) {
  std::vector<std::int64_t> first_seen(static_cast<std::size_t>(num_ids));
  for (const Window& window : windows_of(num_ids, config)) {
    std::fill(first_seen.begin() + window.first_target, first_seen.begin() + window.begin + window.length + 1,
              window.begin);
  }
  return first_seen;
}

// A document's negative log-likelihoods, by position; 0 for the first token.
class DocumentScorer {
 public:
  DocumentScorer(const Model& model, const PerplexityConfig& config, const PerplexityProgress& on_progress,
                 const StopToken& stop)
      : model_(model), config_(config), on_progress_(on_progress), stop_(stop) {}

  // Empty when it was asked to stop. repeats: seen_repeats() of the
  // ids, for recall(); empty: nobody asks.
  std::vector<float> score(const std::vector<std::int64_t>& ids, std::vector<std::int64_t> repeats) {
    ids_ = at::tensor(ids, at::kLong);
    nll_ = std::vector<float>(ids.size(), 0.0F);
    repeats_ = std::move(repeats);
    recall_.clear();
    const std::vector<Window> windows = windows_of(static_cast<std::int64_t>(ids.size()), config_);
    std::size_t first = 0;
    while (first < windows.size()) {
      std::size_t count = 1;
      if (config_.context == 0 || windows[first].length > config_.most_tokens_at_once) {
        if (!score_in_segments(windows[first])) return {};
      } else {
        // Only the last window of a document can be shorter than its neighbours: padding on the right changes nothing
        // before it.
        const auto at_once = static_cast<std::size_t>(config_.most_tokens_at_once / windows[first].length);
        while (count < at_once && first + count < windows.size()) ++count;
        score_batch({windows.begin() + static_cast<std::ptrdiff_t>(first),
                     windows.begin() + static_cast<std::ptrdiff_t>(first + count)});
        if (!proceed()) return {};
      }
      first += count;
    }
    return nll_;
  }

  // Of the document that was scored last: how often its sources were retrieved, in each upper group. None for models
  // that retrieve no chunks; windows that are read in segments do not count.
  const std::vector<SourceRecall>& recall() const { return recall_; }

 private:
  bool proceed() {
    if (on_progress_) on_progress_(num_scored_);
    return !stop_.stop_requested();
  }

  // hidden [T, d] of the tokens from position `begin` on; writes those of the targets not before first_target.
  void keep(const at::Tensor& hidden, std::int64_t begin, std::int64_t first_target) {
    const std::int64_t skip = std::max<std::int64_t>(0, first_target - 1 - begin);
    const std::int64_t count = hidden.size(0) - skip;
    if (count < 1) return;
    const std::int64_t target = begin + skip + 1;
    const at::Tensor nll = -log_likelihood(model_, hidden.narrow(0, skip, count), ids_.narrow(0, target, count));
    std::copy_n(nll.const_data_ptr<float>(), count, nll_.begin() + target);
    num_scored_ += count;
  }

  void score_batch(const std::vector<Window>& windows) {
    const std::int64_t length = windows.front().length;
    std::vector<at::Tensor> rows;
    for (const Window& window : windows) {
      rows.push_back(at::constant_pad_nd(ids_.narrow(0, window.begin, window.length), {0, length - window.length}, 0));
    }
    ForwardOptions options;
    options.dtype = config_.dtype;
    std::vector<Retrieval> retrievals;
    if (!repeats_.empty()) options.retrievals = &retrievals;
    const at::Tensor hidden = model_.hidden_states(at::stack(rows), options);
    recall_.resize(retrievals.size());
    for (std::size_t i = 0; i < windows.size(); ++i) {
      for (std::size_t group = 0; group < retrievals.size(); ++group) {
        count_recall(windows[i], retrievals[group].indices[static_cast<std::int64_t>(i)].cpu(), recall_[group]);
      }
      keep(hidden[static_cast<std::int64_t>(i)].narrow(0, 0, windows[i].length), windows[i].begin,
           windows[i].first_target);
    }
  }

  // indices [C, K]: what the window's chunks retrieved; it serves the chunk behind each.
  void count_recall(const Window& window, const at::Tensor& indices, SourceRecall& recall) const {
    const std::int64_t chunk_size = model_.config().chunk_size;
    const auto retrieved = indices.accessor<std::int64_t, 2>();
    for (std::int64_t target = window.first_target; target <= window.begin + window.length; ++target) {
      const std::int64_t distance = repeats_[static_cast<std::size_t>(target)];
      const std::int64_t asking = (target - 1 - window.begin) / chunk_size - 1;
      const std::int64_t wanted = (target - distance - window.begin) / chunk_size;
      if (distance <= config_.repeats->near_tokens || wanted >= asking) continue;
      ++recall.num_tokens;
      for (std::int64_t k = 0; k < retrieved.size(1); ++k)
        recall.num_recalled += retrieved[asking][k] == wanted ? 1 : 0;
    }
  }

  bool score_in_segments(const Window& window) {
    const std::unique_ptr<Sequence> sequence = model_.new_sequence(config_.dtype);
    for (std::int64_t read = 0; read < window.length; read += config_.segment_tokens) {
      const std::int64_t count = std::min(config_.segment_tokens, window.length - read);
      const std::int64_t begin = window.begin + read;
      const std::int64_t* const ids = ids_.const_data_ptr<std::int64_t>() + begin;
      const Piece piece{sequence.get(), {ids, static_cast<std::size_t>(count)}, 0};
      keep(model_.step({&piece, 1}), begin, window.first_target);
      if (!proceed()) return false;
    }
    return true;
  }

  const Model& model_;
  const PerplexityConfig& config_;
  const PerplexityProgress& on_progress_;
  StopToken stop_;
  at::Tensor ids_;                     // [L]
  std::vector<float> nll_;             // [L]
  std::vector<std::int64_t> repeats_;  // [L], or none
  std::vector<SourceRecall> recall_;
  std::int64_t num_scored_ = 0;
};

std::size_t bucket_of(std::int64_t position) {
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(position / first_bucket_end)));
}

void add_to_bucket(std::int64_t position, double nll, std::vector<PositionBucket>& buckets) {
  const std::size_t index = bucket_of(position);
  while (buckets.size() <= index) {
    const std::int64_t begin = buckets.empty() ? 0 : buckets.back().end;
    buckets.push_back({begin, begin == 0 ? first_bucket_end : 2 * begin});
  }
  ++buckets[index].num_tokens;
  buckets[index].nll_sum += nll;
}

struct DocumentSum {
  double nll = 0;
  double num_tokens = 0;
};

// Of the ratio (sum of nll) / (sum of tokens) when documents are drawn (Cochran, Sampling Techniques, 6.4).
double ratio_standard_error(const std::vector<DocumentSum>& documents, double mean, double num_tokens) {
  const auto count = static_cast<double>(documents.size());
  if (documents.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  double squares = 0;
  for (const DocumentSum& document : documents) squares += std::pow(document.nll - mean * document.num_tokens, 2);
  return std::sqrt(count / (count - 1) * squares) / num_tokens;
}

}  // namespace

double PerplexityResult::perplexity() const { return std::exp(mean_nll()); }

double PerplexityResult::bits_per_byte() const {
  if (num_bytes == 0) return std::numeric_limits<double>::quiet_NaN();
  return nll_sum / std::numbers::ln2 / static_cast<double>(num_bytes);
}

PerplexityResult evaluate_perplexity(const Model& model, const NextDocument& next, const PerplexityConfig& config,
                                     const PerplexityProgress& on_progress, const StopToken& stop) {
  require(config.context >= 0, "context {}: must not be negative", config.context);
  require(config.context == 0 || (config.stride >= 1 && config.stride <= config.context),
          "stride {}: must be from 1 to the context, {}", config.stride, config.context);
  const at::NoGradGuard no_gradients;
  const Clock::time_point start = Clock::now();
  PerplexityResult result;
  result.context = config.context;
  result.stride = config.context == 0 ? 0 : config.stride;
  DocumentScorer scorer(model, config, on_progress, stop);
  std::vector<DocumentSum> sums;
  std::optional<RepeatLossCounter> repeats;
  if (config.repeats) repeats.emplace(*config.repeats);
  EvaluationDocument document;
  while (next(document)) {
    const auto length = static_cast<std::int64_t>(document.ids.size());
    if (length < 2) continue;
    const auto [least, most] = std::minmax_element(document.ids.begin(), document.ids.end());
    require(*least >= 0 && *most < model.config().vocab_size,
            "document {}: holds token ids from {} to {}, but the model knows 0 to {}", result.num_documents, *least,
            *most, model.config().vocab_size - 1);
    std::vector<std::int64_t> distances;
    if (repeats) distances = seen_repeats(document.ids, first_seen_of(length, config), *config.repeats);
    const std::vector<float> nll = scorer.score(document.ids, distances);
    if (nll.empty()) {
      result.complete = false;
      break;
    }
    DocumentSum sum;
    for (std::int64_t position = 1; position < length; ++position) {
      const auto index = static_cast<std::size_t>(position);
      sum.nll += nll[index];
      add_to_bucket(position, nll[index], result.positions);
      if (config.token_bytes.empty()) continue;
      const auto id = static_cast<std::size_t>(document.ids[index]);
      require(id < config.token_bytes.size(), "token id {}: the tokenizer has only {} ids", id,
              config.token_bytes.size());
      result.num_bytes += config.token_bytes[id];
    }
    if (repeats) repeats->add_document(distances, nll, scorer.recall());
    sum.num_tokens = static_cast<double>(length - 1);
    sums.push_back(sum);
    result.nll_sum += sum.nll;
    result.num_tokens += length - 1;
    ++result.num_documents;
  }
  require(result.num_tokens > 0 || !result.complete, "no document has two tokens or more: there is nothing to score");
  if (result.num_tokens > 0) {
    result.standard_error = ratio_standard_error(sums, result.mean_nll(), static_cast<double>(result.num_tokens));
  }
  if (repeats) result.repeats = repeats->result();
  result.seconds = seconds_since(start);
  return result;
}

Json to_json(const PerplexityResult& result) {
  Json positions = Json::array();
  for (const PositionBucket& bucket : result.positions) {
    positions.push_back({{"begin", bucket.begin},
                         {"end", bucket.end},
                         {"num_tokens", bucket.num_tokens},
                         {"mean_nll", number_or_null(bucket.mean_nll())}});
  }
  Json json = {{"context", result.context == 0 ? Json("full") : Json(result.context)},
               {"stride", result.context == 0 ? Json(nullptr) : Json(result.stride)},
               {"num_documents", result.num_documents},
               {"num_tokens", result.num_tokens},
               {"num_bytes", result.num_bytes},
               {"mean_nll", number_or_null(result.mean_nll())},
               {"standard_error", number_or_null(result.standard_error)},
               {"perplexity", number_or_null(result.perplexity())},
               {"bits_per_byte", number_or_null(result.bits_per_byte())},
               {"positions", positions},
               {"complete", result.complete},
               {"seconds", result.seconds}};
  if (result.repeats) json["repeats"] = to_json(*result.repeats);
  return json;
}

std::string perplexity_csv(const std::vector<PerplexityResult>& results) {
  std::string csv = "context,stride,position_begin,position_end,num_tokens,mean_nll,perplexity\n";
  for (const PerplexityResult& result : results) {
    const std::string context = result.context == 0 ? "full" : std::to_string(result.context);
    for (const PositionBucket& bucket : result.positions) {
      if (bucket.num_tokens == 0) continue;
      csv += fmt::format("{},{},{},{},{},{:.6f},{:.6f}\n", context, result.stride, bucket.begin, bucket.end,
                         bucket.num_tokens, bucket.mean_nll(), std::exp(bucket.mean_nll()));
    }
  }
  return csv;
}

}  // namespace lookback
