// The configuration of `lookback compare` (configs/compare-small.toml): which models to train on the same text, how
// often, and what to measure of them.
//
//   [compare]
//   seeds = [0]                 of every model that says nothing else
//   match_parameters = "drt"    the others' MLPs get the width that brings their number of parameters nearest to its
//   contexts = "1K,4K,full"     as `eval perplexity --context`
//   max_tokens = "256K"         of the validation text that are scored,
//   max_document_tokens = "64K" and of each of its documents
//   prompt_tokens = "16K"       read, and
//   new_tokens = 256            written, for the speeds
//   [needles]                   only where needles are asked for, after training further on them:
//   task = "single"             as `finetune --task` and `eval needle --task`
//   steps = 500                 and lr, batch_size, train_lengths: of `finetune`
//   lengths = "1K,4K,16K"       and samples: of `eval needle`
//   [model], [train]            as in a run's (train/run_config.h): what all models share
//   [[models]]
//   name = "drt"
//   seeds = [0, 1, 2]
//   contexts = "1K,4K"          fewer than the others', of a model that would take too long over longer ones
//   [models.model], [models.train]   keys over the shared ones
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "train/run_config.h"

namespace lookback {

struct CompareModel {
  std::string name;
  std::string kind;
  std::vector<std::int64_t> seeds;
  std::string contexts;  // empty: the plan's
  Json run;              // [model] and [train], complete but for what follows the data
  std::int64_t num_parameters = 0;
};

// Needles asked for after training further on them.
struct NeedlePlan {
  std::string task = "single";
  std::int64_t steps = 500;
  double lr = 5e-4;
  std::int64_t batch_size = 4;
  std::string train_lengths = "1K";
  std::string lengths = "1K,4K,16K";
  std::int64_t samples = 20;  // for each length and depth
};

struct ComparePlan {
  std::vector<CompareModel> models;
  std::string contexts = "1K,4K,full";
  std::string max_tokens = "256K";
  std::string max_document_tokens = "64K";
  std::string prompt_tokens = "16K";
  std::int64_t new_tokens = 256;
  std::optional<NeedlePlan> needles;
};

// `value` as read_toml_file gives it, `source` its name in errors. Throws Error for unknown keys, names that are
// missing, twice or no names of files, and runs that parse_run_config refuses or that do not train on equally many
// tokens.
ComparePlan parse_compare_plan(const Json& value, const std::string& source, const VocabularyHint& vocabulary);

Json to_json(const ComparePlan& plan);

}  // namespace lookback
