#include "data/needle_batches.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <string>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/answer_batch.h"
#include "data/batch_state.h"

namespace lookback {
namespace {

// Streams of one seed, a batch each.
constexpr std::uint64_t first_training_stream = 2;
constexpr std::uint64_t first_held_out_stream = std::uint64_t{1} << 48U;

class NeedleBatches : public BatchSource {
 public:
  NeedleBatches(NeedleBatchesConfig config, std::vector<std::int64_t> haystack, const Tokenizer& tokenizer)
      : config_(std::move(config)), haystack_(std::move(haystack)) {
    require(!config_.tasks.empty(), "needle batches: no tasks");
    require(config_.batch_size >= 1, "batch size {}: expected at least 1", config_.batch_size);
    require(config_.text_loss_weight >= 0, "text loss weight {}: must not be negative", config_.text_loss_weight);
    std::string kinds;
    for (const NeedleTask& task : config_.tasks) {
      generators_.emplace_back(task, haystack_, tokenizer);
      kinds += fmt::format("{} {} {} {} {};", to_string(task.kind), task.length, task.chunk_size, task.num_needles,
                           task.num_empty_chunks);
    }
    const std::uint64_t hash = XXH64(haystack_.data(), haystack_.size() * sizeof(haystack_[0]), 0);
    fingerprint_ = fmt::format("{}{:016x} {}", kinds, hash, config_.text_loss_weight);
  }

  TokenBatch next() override {
    const std::uint64_t first_stream = config_.held_out ? first_held_out_stream : first_training_stream;
    Random random(config_.seed, first_stream + static_cast<std::uint64_t>(num_batches_));
    ++num_batches_;
    const NeedleGenerator& generator = generators_[random.below(generators_.size())];
    std::vector<AnsweredSequence> sequences;
    for (std::int64_t i = 0; i < config_.batch_size; ++i) {
      NeedleSample sample = generator.make(random);
      AnsweredSequence sequence{std::move(sample.prompt_ids), 0};
      sequence.answer_begin = static_cast<std::int64_t>(sequence.ids.size());
      sequence.ids.insert(sequence.ids.end(), sample.answer_ids.begin(), sample.answer_ids.end());
      sequences.push_back(std::move(sequence));
    }
    TokenBatch batch = make_answer_batch(sequences, config_.text_loss_weight);
    // Samples of one task are of one length, and so are their answers.
    const std::int64_t first_label = sequences[0].answer_begin - 1;
    batch.answer_length = batch.length - first_label;
    for (std::int64_t row = 0; row < batch.num_sequences; ++row) {
      for (std::int64_t position = first_label; position < batch.length; ++position) {
        batch.answer_positions.push_back(row * batch.length + position);
      }
    }
    return batch;
  }

  Json state() const override {
    return {{"kind", "needles"},
            {"fingerprint", fingerprint_},
            {"batch_size", config_.batch_size},
            {"seed", config_.seed},
            {"num_batches", num_batches_}};
  }

  void restore(const Json& state) override {
    check_same_state(state, "kind", std::string("needles"));
    check_same_state(state, "fingerprint", fingerprint_);
    check_same_state(state, "batch_size", config_.batch_size);
    check_same_state(state, "seed", config_.seed);
    num_batches_ = batch_count_of(state);
  }

 private:
  NeedleBatchesConfig config_;
  std::vector<std::int64_t> haystack_;
  std::vector<NeedleGenerator> generators_;  // one a task
  std::string fingerprint_;                  // of all that decides the samples but the seed
  std::int64_t num_batches_ = 0;
};

}  // namespace

std::unique_ptr<BatchSource> make_needle_batches(NeedleBatchesConfig config, std::vector<std::int64_t> haystack,
                                                 const Tokenizer& tokenizer) {
  return std::make_unique<NeedleBatches>(std::move(config), std::move(haystack), tokenizer);
}

}  // namespace lookback
