// A run's configuration (configs/small-drt.toml; RUN/config.toml when it is complete): everything that decides a
// training run, [model], [train], [data], [[stages]] where it has some and, of a run of `lookback finetune`,
// [finetune].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "models/config.h"
#include "train/finetune_config.h"
#include "train/stage_config.h"
#include "train/train_config.h"

namespace lookback {

// Keys in brackets where they differ from the names. TrainConfig's own keys are its names, but for betas.
struct RunConfig {
  ModelConfig model;  // [model]: the keys of config.json

  TrainConfig train;                     // [train]
  std::int64_t batch_size = 1;           // sequences a batch
  std::int64_t context_length = 4032;    // text tokens a sequence
  std::int64_t validation_windows = 32;  // of context_length tokens, spread evenly over the validation text
  std::string device = "cpu";            // cpu, cuda, cuda:1
  std::int64_t threads = 0;              // 0: training_threads()
  std::string retriever_embeddings;      // a file for load_retriever_embeddings; empty: none is wanted
  std::string init;                      // a model folder whose weights the run starts from; empty: fresh ones

  std::vector<StageConfig> stages;  // [[stages]], as many as train.stages; none: all steps are on the text, as above

  FinetuneConfig finetune;  // [finetune], absent without tasks

  std::string data;   // [data] train: a prepared folder; of a finetuned run also a text or pairs
  std::string valid;  // [data] valid: another; empty: none
  // What the data must be, written at the start so that a resumed run finds the same again; empty or 0: anything.
  std::string tokenizer_fingerprint;
  std::int64_t num_tokens = 0;
};

// What the tokenizer says to a model: its number of ids (the landmark comes behind them).
struct VocabularyHint {
  std::int64_t vocab_size = 0;
};

// `value` as read_toml_file gives it, `source` its name in errors. In [model], vocab_size and chunk_id follow the
// tokenizer where they are absent; in [train], min_lr is lr / 5, warmup_steps 2% of the steps, and steps those of
// [[stages]]. Throws Error for unknown keys (with the nearest known one), wrong types, values out of range, tasks that
// cannot be mixed, and a vocabulary that cannot hold the tokenizer's.
RunConfig parse_run_config(const Json& value, const std::string& source, std::optional<VocabularyHint> vocabulary);

// The complete object: parse_run_config gives the same back.
Json to_json(const RunConfig& config);

// Puts the keys of `changes` (sections of keys) over those of `base`.
Json overlay(const Json& base, const Json& changes);

// Of a run that goes on, whose `given` sections lie over those of before in `after`: makes [train] steps and [[stages]]
// agree where only one of them is given. Stages decide the steps; more steps alone are those of the last stage. Throws
// Error for stages that are none.
void follow_stages(const Json& given, const std::string& source, Json& after);

// Of a run that goes on and may have been given more steps than it had: its learning rate falls over as many as before,
// and stays at min_lr for the rest. So all steps that it would have done are as they would have been.
void keep_schedule(const Json& before, Json& after);

// Which keys ("train.lr") differ between two complete objects in a way that alters the course of the run: all but those
// that say only how often to save, validate and report, where the data lies, and which of several cards to use, and
// more steps under the same schedule (keep_schedule).
std::vector<std::string> altering_differences(const Json& before, const Json& after);

}  // namespace lookback
