#include "train/stage_batches.h"

#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "data/corpus_batches.h"
#include "data/counter_hash.h"
#include "data/far_repeat_weights.h"
#include "data/haystack.h"
#include "data/needle_batches.h"
#include "data/self_copies.h"
#include "data/staged_batches.h"
#include "data/text_ids.h"

namespace lookback {
namespace {

// Makes the sources of one stage.
struct SourceMaker {
  const RunConfig& config;
  const StageConfig& stage;
  const std::shared_ptr<const TokenDataset>& text;
  const Tokenizer& tokenizer;
  std::uint64_t seed = 0;

  std::unique_ptr<BatchSource> operator()(const StageText& data) const {
    auto source = make_corpus_batches(text, stage.context_length, stage.batch_size, seed);
    if (data.far_repeat_weight == 1) return source;
    return weigh_far_repeats(std::move(source), {data.far_repeat_weight, data.near_tokens, data.min_match});
  }

  std::unique_ptr<BatchSource> operator()(const StageSelfCopies& data) const {
    SelfCopiesConfig copies;
    copies.context_length = stage.context_length;
    copies.batch_size = stage.batch_size;
    copies.length = {data.length[0], data.length[1]};
    copies.gap = {data.gap[0], data.gap[1]};
    copies.copy_weight = data.copy_weight;
    copies.end_of_text_id = tokenizer.end_of_text_id();
    copies.seed = seed;
    if (data.of == "text") return make_text_self_copies(copies, text);
    return make_random_self_copies(copies, alphabet_ids(tokenizer, data.alphabet));
  }

  std::unique_ptr<BatchSource> operator()(const FinetuneConfig& data) const {
    NeedleBatchesConfig needles{needle_tasks(data, config.model.chunk_size), stage.batch_size, data.text_weight, seed};
    return make_needle_batches(std::move(needles), read_haystack(config.data, 0, 0, tokenizer), tokenizer);
  }
};

}  // namespace

std::unique_ptr<BatchSource> make_stage_batches(const RunConfig& config,
                                                const std::shared_ptr<const TokenDataset>& text,
                                                const Tokenizer& tokenizer) {
  std::vector<BatchStage> stages;
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    BatchStage made{config.train.stages[i].steps * config.train.grad_accumulation_steps, {}};
    for (std::size_t k = 0; k < stage.data.size(); ++k) {
      const SourceMaker maker{config, stage, text, tokenizer, counter_hash({config.train.seed, i, k})};
      try {
        made.sources.push_back({std::visit(maker, stage.data[k].data), stage.data[k].weight});
      } catch (const Error& error) {
        fail("[[stages]] {}: {}", i + 1, error.what());
      }
    }
    stages.push_back(std::move(made));
  }
  return make_staged_batches(std::move(stages), config.train.seed);
}

}  // namespace lookback
