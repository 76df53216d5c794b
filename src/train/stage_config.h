// [[stages]] of a run's configuration: a curriculum, what the run reads one after another (docs/curricula.md). How long
// each stage is and how its learning rate goes is in TrainConfig::stages.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/json.h"
#include "data/repeats.h"
#include "train/finetune_config.h"

namespace lookback {

struct RunConfig;

// kind = "text": the run's text.
struct StageText {
  double far_repeat_weight = 1;  // in the loss, of tokens that repeat what stood more than near_tokens back
  std::int64_t near_tokens = 0;  // absent: the model's window
  std::int64_t min_match = usual_min_match;
};

// kind = "self-copies": x, gap, x (data/self_copies.h).
struct StageSelfCopies {
  std::string of = "random";         // or "text": pieces of the run's text
  std::vector<std::int64_t> length;  // of x, the least and the most tokens
  std::vector<std::int64_t> gap = {0, 0};
  double copy_weight = 1;      // in the loss, of the copy's tokens
  std::int64_t alphabet = 64;  // of random: how many ids (data/text_ids.h)
};

// What batches of a stage are of.
struct StageSource {
  double weight = 1;  // how often a batch is of this source, as against the others
  std::variant<StageText, StageSelfCopies, FinetuneConfig> data;  // the last: needles, hidden in the run's text
};

struct StageConfig {
  // Of [train] where the stage does not say.
  std::int64_t batch_size = 0;
  std::int64_t context_length = 0;  // tokens of a sequence; of a needle sample, the most
  std::vector<StageSource> data;
};

// The sum of the steps of [[stages]], each of which has some. Throws Error naming the stage.
std::int64_t steps_of_stages(const Json& stages, const std::string& source);

// Into config.stages and config.train.stages; what a stage does not say follows the rest of `config`. Throws Error
// naming the stage: for unknown keys (with the nearest known one), wrong types, values out of range, lengths that do
// not fit into the stage's context.
void parse_stages(const Json& stages, const std::string& source, RunConfig& config);

// The complete list: parse_stages gives the same back.
Json stages_to_json(const RunConfig& config);

// A line for people: "500 steps of 22 x 186 tokens: self-copies of random".
std::string describe_stage(const RunConfig& config, std::size_t index);

// Of a run that goes on with stages that are given anew: where its last stage so far has a learning rate of its own and
// `after` does not say how that goes, it goes as before, however many steps the stage has now.
void keep_stage_schedule(const Json& before, Json& after);

// Which keys ("[[stages]] 2: data") differ in a way that alters the course of the run: all but more steps of what was
// the last stage, under the same schedule, and stages behind it.
std::vector<std::string> altering_stage_differences(const Json& before, const Json& after);

}  // namespace lookback
