#include "data/summary_batches.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/answer_batch.h"
#include "data/batch_state.h"

namespace lookback {
namespace {

class SummaryBatches : public BatchSource {
 public:
  SummaryBatches(const std::vector<SummaryPair>& pairs, const std::string& source, const Tokenizer& tokenizer,
                 const SummaryBatchesConfig& config)
      : config_(config), order_(pairs.size()) {
    require(config.batch_size >= 1, "batch size {}: expected at least 1", config.batch_size);
    require(config.text_loss_weight >= 0, "text loss weight {}: must not be negative", config.text_loss_weight);
    require(!pairs.empty(), "{}: holds no pairs", source);
    std::uint64_t hash = 0;
    for (const SummaryPair& pair : pairs) {
      sequences_.push_back(encode(pair, tokenizer));
      const std::vector<std::int64_t>& ids = sequences_.back().ids;
      hash = XXH64(ids.data(), ids.size() * sizeof(ids[0]), hash);
    }
    fingerprint_ = fmt::format("{:016x}", hash);
    start_epoch(0);
  }

  TokenBatch next() override {
    std::vector<AnsweredSequence> drawn;
    for (std::int64_t i = 0; i < config_.batch_size; ++i) {
      if (position_ == order_.size()) start_epoch(epoch_ + 1);
      drawn.push_back(sequences_[order_[position_++]]);
    }
    return make_answer_batch(drawn, config_.text_loss_weight);
  }

  Json state() const override {
    return {{"kind", "summaries"},
            {"fingerprint", fingerprint_},
            {"batch_size", config_.batch_size},
            {"text_loss_weight", config_.text_loss_weight},
            {"seed", config_.seed},
            {"epoch", epoch_},
            {"position", position_}};
  }

  void restore(const Json& state) override {
    check_same_state(state, "kind", std::string("summaries"));
    check_same_state(state, "fingerprint", fingerprint_);
    check_same_state(state, "batch_size", config_.batch_size);
    check_same_state(state, "text_loss_weight", config_.text_loss_weight);
    check_same_state(state, "seed", config_.seed);
    const std::string source = "state of the training data";
    const auto epoch = json_field<std::int64_t>(state, "epoch", source);
    const auto position = json_field<std::int64_t>(state, "position", source);
    require(epoch >= 0, "{}: epoch {}", source, epoch);
    require(position >= 0 && position <= static_cast<std::int64_t>(order_.size()), "{}: pair {} of an epoch of {}",
            source, position, order_.size());
    start_epoch(epoch);
    position_ = static_cast<std::size_t>(position);
  }

 private:
  AnsweredSequence encode(const SummaryPair& pair, const Tokenizer& tokenizer) const {
    std::vector<std::int32_t> answer;
    tokenizer.encode_continuation(pair.summary, answer);
    answer.push_back(tokenizer.end_of_text_id());
    AnsweredSequence sequence;
    try {
      sequence.ids =
          summary_prompt(pair.document, config_.length - static_cast<std::int64_t>(answer.size()), tokenizer);
    } catch (const Error&) {
      fail("{}: a summary of {} tokens leaves no room for its document in a length of {}", pair.source,
           answer.size() - 1, config_.length);
    }
    sequence.answer_begin = static_cast<std::int64_t>(sequence.ids.size());
    sequence.ids.insert(sequence.ids.end(), answer.begin(), answer.end());
    return sequence;
  }

  void start_epoch(std::int64_t epoch) {
    epoch_ = epoch;
    position_ = 0;
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    Random random(config_.seed, static_cast<std::uint64_t>(epoch));
    random.shuffle(order_);
  }

  SummaryBatchesConfig config_;
  std::vector<AnsweredSequence> sequences_;
  std::string fingerprint_;  // of all sequences
  std::int64_t epoch_ = 0;
  std::size_t position_ = 0;        // pairs of this epoch already given
  std::vector<std::size_t> order_;  // of the pairs in this epoch
};

}  // namespace

std::unique_ptr<BatchSource> make_summary_batches(const std::vector<SummaryPair>& pairs, const std::string& source,
                                                  const Tokenizer& tokenizer, const SummaryBatchesConfig& config) {
  return std::make_unique<SummaryBatches>(pairs, source, tokenizer, config);
}

}  // namespace lookback
