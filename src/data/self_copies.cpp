#include "data/self_copies.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/batch_state.h"
#include "data/counter_hash.h"

namespace lookback {
namespace {

using Ids = std::vector<std::int64_t>;

std::int64_t draw_from(const TokenRange& range, Random& random) {
  return range.least +
         static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(range.most - range.least + 1)));
}

void check(const SelfCopiesConfig& config) {
  require(config.batch_size >= 1, "batch size {}: expected at least 1", config.batch_size);
  const TokenRange& length = config.length;
  const TokenRange& gap = config.gap;
  require(length.least >= 1 && length.least <= length.most,
          "self-copies: length {} to {}: expected at least 1 token, the smaller number first", length.least,
          length.most);
  require(gap.least >= 0 && gap.least <= gap.most,
          "self-copies: gap {} to {}: expected no negative number, the smaller one first", gap.least, gap.most);
  // Labels go one token beyond the sequence.
  const std::int64_t room = config.context_length + 1;
  require(length.most <= room && gap.most <= room && longest_self_copy(config) <= room,
          "self-copies: twice {} tokens with {} between do not fit into sequences of {}", length.most, gap.most,
          config.context_length);
  require(std::isfinite(config.copy_weight) && config.copy_weight >= 0,
          "self-copies: copy_weight must be a number that is not negative, found {}", config.copy_weight);
}

class SelfCopies : public BatchSource {
 public:
  // Draws so many tokens in a row.
  using Draw = std::function<Ids(std::int64_t count, Random& random)>;

  // drawn_from: decides, with the configuration, what `draw` draws.
  SelfCopies(const SelfCopiesConfig& config, Draw draw, const std::string& drawn_from)
      : config_(config), draw_(std::move(draw)) {
    fingerprint_ = fmt::format("{} x {} {}-{} {}-{} {} {} {}", config.batch_size, config.context_length,
                               config.length.least, config.length.most, config.gap.least, config.gap.most,
                               config.copy_weight, config.end_of_text_id, drawn_from);
  }

  TokenBatch next() override {
    Random random(counter_hash({config_.seed, static_cast<std::uint64_t>(num_batches_)}));
    ++num_batches_;
    TokenBatch batch;
    batch.num_sequences = config_.batch_size;
    batch.length = config_.context_length;
    std::vector<bool> is_copied;  // of each label
    for (std::int64_t row = 0; row < config_.batch_size; ++row) append_sequence(random, batch, is_copied);
    if (config_.copy_weight != 1) weigh(is_copied, batch);
    return batch;
  }

  Json state() const override {
    return {
        {"kind", "self-copies"}, {"fingerprint", fingerprint_}, {"seed", config_.seed}, {"num_batches", num_batches_}};
  }

  void restore(const Json& state) override {
    check_same_state(state, "kind", std::string("self-copies"));
    check_same_state(state, "fingerprint", fingerprint_);
    check_same_state(state, "seed", config_.seed);
    num_batches_ = batch_count_of(state);
  }

 private:
  void append_sequence(Random& random, TokenBatch& batch, std::vector<bool>& is_copied) const {
    Ids ids;
    std::vector<bool> copied;
    const auto num_ids = static_cast<std::size_t>(config_.context_length + 1);
    while (ids.size() < num_ids) {
      const std::int64_t length = draw_from(config_.length, random);
      const Ids piece = draw_(length + draw_from(config_.gap, random), random);
      ids.insert(ids.end(), piece.begin(), piece.end());
      copied.resize(ids.size(), false);
      ids.insert(ids.end(), piece.begin(), piece.begin() + length);
      copied.resize(ids.size(), true);
      ids.push_back(config_.end_of_text_id);
      copied.push_back(false);
    }
    ids.resize(num_ids);
    copied.resize(num_ids);
    batch.input_ids.insert(batch.input_ids.end(), ids.begin(), ids.end() - 1);
    batch.labels.insert(batch.labels.end(), ids.begin() + 1, ids.end());
    is_copied.insert(is_copied.end(), copied.begin() + 1, copied.end());
  }

  void weigh(const std::vector<bool>& is_copied, TokenBatch& batch) const {
    double sum = 0;
    for (const bool copied : is_copied) sum += copied ? config_.copy_weight : 1;
    for (const bool copied : is_copied) {
      batch.loss_weights.push_back(static_cast<float>((copied ? config_.copy_weight : 1) / sum));
    }
  }

  SelfCopiesConfig config_;
  Draw draw_;
  std::string fingerprint_;  // of all that decides the batches but the seed
  std::int64_t num_batches_ = 0;
};

}  // namespace

std::int64_t longest_self_copy(const SelfCopiesConfig& config) { return 2 * config.length.most + config.gap.most; }

std::unique_ptr<BatchSource> make_random_self_copies(const SelfCopiesConfig& config,
                                                     std::vector<std::int64_t> alphabet) {
  check(config);
  require(!alphabet.empty(), "self-copies: no alphabet to draw from");
  const std::uint64_t hash = XXH64(alphabet.data(), alphabet.size() * sizeof(alphabet[0]), 0);
  const auto draw = [alphabet = std::move(alphabet)](std::int64_t count, Random& random) {
    Ids ids;
    for (std::int64_t i = 0; i < count; ++i) ids.push_back(alphabet[random.below(alphabet.size())]);
    return ids;
  };
  return std::make_unique<SelfCopies>(config, draw, fmt::format("random {:016x}", hash));
}

std::unique_ptr<BatchSource> make_text_self_copies(const SelfCopiesConfig& config,
                                                   std::shared_ptr<const TokenDataset> dataset) {
  check(config);
  const std::int64_t num_tokens = dataset->num_tokens();
  require(config.length.most + config.gap.most <= num_tokens,
          "dataset {}: {} tokens, too few for self-copies of {} with a gap of {}", dataset->folder().string(),
          num_tokens, config.length.most, config.gap.most);
  std::string name = fmt::format("text {} {}", dataset->manifest().tokenizer_fingerprint, num_tokens);
  const auto draw = [dataset = std::move(dataset), num_tokens](std::int64_t count, Random& random) {
    Ids ids(static_cast<std::size_t>(count));
    const auto num_places = static_cast<std::uint64_t>(num_tokens - count + 1);
    dataset->read(static_cast<std::int64_t>(random.below(num_places)), ids);
    return ids;
  };
  return std::make_unique<SelfCopies>(config, draw, std::move(name));
}

}  // namespace lookback
