#include "data/corpus_batches.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "data/batch_state.h"

namespace lookback {
namespace {

// Input positions [begin, begin + length) of the stream, of which [first_label, last_label) have labels.
struct Window {
  std::int64_t begin = 0;
  std::int64_t length = 0;
  std::int64_t first_label = 0;
  std::int64_t last_label = 0;
};

class CorpusBatches : public BatchSource {
 public:
  CorpusBatches(std::shared_ptr<const TokenDataset> dataset, std::int64_t context_length, std::int64_t batch_size,
                std::uint64_t seed)
      : dataset_(std::move(dataset)), context_length_(context_length), batch_size_(batch_size), seed_(seed) {
    require(context_length >= 1, "context length {}: expected at least 1", context_length);
    require(batch_size >= 1, "batch size {}: expected at least 1", batch_size);
    require(dataset_->num_tokens() >= 2, "dataset {}: {} token, too few to predict one from another",
            dataset_->folder().string(), dataset_->num_tokens());
    start_epoch(0);
  }

  TokenBatch next() override {
    TokenBatch batch;
    batch.num_sequences = batch_size_;
    batch.length = context_length_;
    batch.input_ids.reserve(static_cast<std::size_t>(batch_size_ * context_length_));
    batch.labels.reserve(batch.input_ids.capacity());
    for (std::int64_t i = 0; i < batch_size_; ++i) {
      if (position_ == static_cast<std::int64_t>(order_.size())) start_epoch(epoch_ + 1);
      append(window(order_[static_cast<std::size_t>(position_++)]), batch);
    }
    return batch;
  }

  Json state() const override {
    return {{"kind", "corpus"},
            {"tokenizer_fingerprint", dataset_->manifest().tokenizer_fingerprint},
            {"num_tokens", dataset_->num_tokens()},
            {"context_length", context_length_},
            {"seed", seed_},
            {"epoch", epoch_},
            {"position", position_}};
  }

  void restore(const Json& state) override {
    const std::string source = "state of the training data";
    check_same_state(state, "kind", std::string("corpus"));
    check_same_state(state, "tokenizer_fingerprint", dataset_->manifest().tokenizer_fingerprint);
    check_same_state(state, "num_tokens", dataset_->num_tokens());
    check_same_state(state, "context_length", context_length_);
    check_same_state(state, "seed", seed_);
    const auto epoch = json_field<std::int64_t>(state, "epoch", source);
    const auto position = json_field<std::int64_t>(state, "position", source);
    require(epoch >= 0, "{}: epoch {}", source, epoch);
    start_epoch(epoch);
    require(position >= 0 && position <= static_cast<std::int64_t>(order_.size()), "{}: window {} of an epoch of {}",
            source, position, order_.size());
    position_ = position;
  }

 private:
  // Positions that can have a label: all but the last.
  std::int64_t num_labels() const { return dataset_->num_tokens() - 1; }

  void start_epoch(std::int64_t epoch) {
    epoch_ = epoch;
    position_ = 0;
    Random random(seed_, static_cast<std::uint64_t>(epoch));
    offset_ = 0;
    if (num_labels() > context_length_) {
      offset_ = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(context_length_)));
    }
    // Window 0 ends at the offset (when that is not 0); the others follow.
    const std::int64_t first = offset_ > 0 ? 0 : 1;
    const std::int64_t last = 1 + (num_labels() - offset_ + context_length_ - 1) / context_length_;
    order_.resize(static_cast<std::size_t>(last - first));
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = first + static_cast<std::int64_t>(i);
    random.shuffle(order_);
  }

  Window window(std::int64_t index) const {
    Window window;
    const std::int64_t begin = offset_ + (index - 1) * context_length_;
    window.first_label = std::max<std::int64_t>(begin, 0);
    window.last_label = std::min(begin + context_length_, num_labels());
    window.length = std::min(context_length_, num_labels());
    window.begin = std::clamp<std::int64_t>(begin, 0, num_labels() - window.length);
    return window;
  }

  void append(const Window& window, TokenBatch& batch) const {
    std::vector<std::int64_t> tokens(static_cast<std::size_t>(window.length + 1));
    dataset_->read(window.begin, tokens);
    for (std::int64_t i = 0; i < context_length_; ++i) {
      const std::int64_t at = window.begin + i;
      const bool labelled = i < window.length && at >= window.first_label && at < window.last_label;
      // The last token of a padded window is text too, though it predicts nothing.
      batch.input_ids.push_back(i <= window.length ? tokens[static_cast<std::size_t>(i)] : padding_id);
      batch.labels.push_back(labelled ? tokens[static_cast<std::size_t>(i + 1)] : ignored_label);
    }
  }

  std::shared_ptr<const TokenDataset> dataset_;
  std::int64_t context_length_;
  std::int64_t batch_size_;
  std::uint64_t seed_;
  std::int64_t epoch_ = 0;
  std::int64_t position_ = 0;  // windows of this epoch already given
  std::int64_t offset_ = 0;
  std::vector<std::int64_t> order_;
};

}  // namespace

std::unique_ptr<BatchSource> make_corpus_batches(std::shared_ptr<const TokenDataset> dataset,
                                                 std::int64_t context_length, std::int64_t batch_size,
                                                 std::uint64_t seed) {
  return std::make_unique<CorpusBatches>(std::move(dataset), context_length, batch_size, seed);
}

}  // namespace lookback
