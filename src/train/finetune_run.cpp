#include "train/finetune_run.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/haystack.h"
#include "data/needle_batches.h"
#include "data/summary_batches.h"
#include "models/model_folder.h"
#include "train/finetune_config.h"
#include "train/training_length.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t default_steps = 500;
constexpr double default_lr = 5e-4;

void make_absolute(Json& section, const char* key) {
  if (!section.contains(key) || section.at(key).empty()) return;
  section[key] = fs::absolute(section.at(key).get<std::string>()).lexically_normal().string();
}

// What a new run does unless `given` says otherwise.
Json new_run_settings(const Json& given, const std::string& source) {
  const auto init = json_field_or<std::string>(given["train"], "init", "", source);
  const Json finetune = given.contains("finetune") ? given["finetune"] : Json::object();
  const auto tasks = json_field_or<std::vector<std::string>>(finetune, "tasks", {}, source);
  require(!init.empty() && !tasks.empty(), "{}: finetuning needs a model to start from and the tasks to train on",
          source);
  const fs::path config_path = resolve_model_folder(init) / "config.json";
  const ModelConfig model = parse_model_config(read_json_file(config_path), config_path.string());
  return {{"model", to_json(model)},
          {"train", {{"steps", default_steps}, {"lr", default_lr}}},
          {"finetune",
           {{"lengths", {training_length(init, model)}},
            {"text_weight", tasks.front() == "summarize" ? 0 : default_needle_text_weight}}}};
}

// The settings of the run; before: those of the run that goes on, empty for a new one.
Json merged_settings(const RunPlace& place, const Json& before, const Json& given, const std::string& source) {
  Json settings = overlay(place.resume ? before : new_run_settings(given, source), given);
  if (!place.resume) return settings;
  keep_schedule(before, settings);
  if (given["data"].contains("train") && !given["data"].contains("valid")) {
    Json& data = settings["data"];
    data["valid"] = moved_validation(data.at("valid"), before.at("data").at("train"), data.at("train"));
  }
  return settings;
}

// Where the tokenizer is found: with the weights that training goes on from.
fs::path model_folder_of(const RunPlace& place, const Json& settings) {
  if (const auto checkpoint = resumed_checkpoint(place)) return *checkpoint;
  return resolve_model_folder(json_field<std::string>(settings["train"], "init", place.config_path()));
}

std::vector<TokenBatch> take_batches(BatchSource& source, std::int64_t num_sequences, std::int64_t batch_size) {
  std::vector<TokenBatch> batches;
  for (std::int64_t i = 0; i < num_sequences; i += batch_size) batches.push_back(source.next());
  return batches;
}

TrainingData needle_data(RunConfig& config, const Tokenizer& tokenizer) {
  require(config.valid.empty(),
          "{}: only summaries are validated on pairs of a file; needles are validated on samples of their own",
          config.valid);
  // Other sentences than those that needles are asked for in with the same seed.
  const std::vector<std::int64_t> haystack =
      read_haystack(config.data, generated_haystack_bytes, ~config.train.seed, tokenizer);
  settle_data(config, tokenizer.fingerprint(), static_cast<std::int64_t>(haystack.size()));
  NeedleBatchesConfig batches{needle_tasks(config.finetune, config.model.chunk_size), config.batch_size,
                              config.finetune.text_weight, config.train.seed};
  TrainingData data{make_needle_batches(batches, haystack, tokenizer), {}, tokenizer};
  batches.held_out = true;
  batches.text_loss_weight = 0;
  data.validation = take_batches(*make_needle_batches(std::move(batches), haystack, tokenizer),
                                 config.validation_windows, config.batch_size);
  return data;
}

std::int64_t count_tokens(const std::vector<SummaryPair>& pairs, const Tokenizer& tokenizer) {
  std::int64_t count = 0;
  for (const SummaryPair& pair : pairs) {
    count += static_cast<std::int64_t>(tokenizer.encode(pair.document).size() + tokenizer.encode(pair.summary).size());
  }
  return count;
}

TrainingData summary_data(RunConfig& config, const Tokenizer& tokenizer) {
  require(!config.data.empty(), "summarize: no data: which documents and summaries (JSON lines)?");
  const std::vector<SummaryPair> pairs = read_summary_pairs(config.data);
  settle_data(config, tokenizer.fingerprint(), count_tokens(pairs, tokenizer));
  SummaryBatchesConfig batches{config.finetune.lengths[0], config.batch_size, config.finetune.text_weight,
                               config.train.seed};
  TrainingData data{make_summary_batches(pairs, config.data, tokenizer, batches), {}, tokenizer};
  if (!config.valid.empty()) {
    const std::vector<SummaryPair> valid = read_summary_pairs(config.valid);
    batches.text_loss_weight = 0;
    data.validation =
        take_batches(*make_summary_batches(valid, config.valid, tokenizer, batches),
                     std::min(config.validation_windows, static_cast<std::int64_t>(valid.size())), config.batch_size);
  }
  return data;
}

}  // namespace

TrainResult finetune(const RunPlace& place, Json given, const std::string& source, const RunListener& listener,
                     const StopToken& stop) {
  const Json before = read_run_before(place);
  make_absolute(given["train"], "init");
  make_absolute(given["data"], "train");
  make_absolute(given["data"], "valid");
  const Json settings = merged_settings(place, before, given, source);
  const fs::path folder = model_folder_of(place, settings);
  require(has_tokenizer(folder), "{}: has no tokenizer, with which its training texts would be written",
          folder.string());
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder.string());
  RunConfig config = parse_run_config(settings, source, VocabularyHint{tokenizer->vocab_size()});
  config.context_length = std::ranges::max(config.finetune.lengths);
  TrainingData data = config.finetune.summarizes() ? summary_data(config, *tokenizer) : needle_data(config, *tokenizer);
  check_same_course(before, config, place);
  return run_training(place, config, std::move(data), listener, stop);
}

}  // namespace lookback
