#include "train/run_config.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "data/needle_task.h"
#include "models/device.h"
#include "models/kind.h"
#include "train/key_reader.h"
#include "train/known_keys.h"

namespace lookback {
namespace {

// Calls visit(key, member) for every key of [train] that is a plain value.
template <typename Config, typename Visitor>
void visit_train_keys(Config& config, Visitor&& visit) {
  auto& train = config.train;
  visit("steps", train.steps);
  visit("schedule_steps", train.schedule_steps);
  visit("batch_size", config.batch_size);
  visit("context_length", config.context_length);
  visit("lr", train.lr);
  visit("min_lr", train.min_lr);
  visit("warmup_steps", train.warmup_steps);
  visit("eps", train.eps);
  visit("weight_decay", train.weight_decay);
  visit("decay_all_parameters", train.decay_all_parameters);
  visit("clip_grad_norm", train.clip_grad_norm);
  visit("grad_accumulation_steps", train.grad_accumulation_steps);
  visit("gradient_checkpointing", train.gradient_checkpointing);
  visit("seed", train.seed);
  visit("validate_every", train.validate_every);
  visit("validation_windows", config.validation_windows);
  visit("checkpoint_every", train.checkpoint_every);
  visit("keep_checkpoints", train.keep_checkpoints);
  visit("device", config.device);
  visit("threads", config.threads);
  visit("init", config.init);
  visit("retriever_embeddings", config.retriever_embeddings);
}

template <typename Config, typename Visitor>
void visit_data_keys(Config& config, Visitor&& visit) {
  visit("train", config.data);
  visit("valid", config.valid);
  visit("tokenizer_fingerprint", config.tokenizer_fingerprint);
  visit("num_tokens", config.num_tokens);
}

template <typename Visit>
std::vector<std::string> keys_of(Visit visit_keys, std::vector<std::string> keys) {
  RunConfig config;
  visit_keys(config, [&keys](const char* key, const auto&) { keys.emplace_back(key); });
  return keys;
}

void parse_train(const Json& section, const std::string& source, RunConfig& config) {
  require_known_keys(section, keys_of([](auto& c, auto visit) { visit_train_keys(c, visit); }, {"betas", "dtype"}),
                     source);
  visit_train_keys(config, KeyReader{section, source});
  TrainConfig& train = config.train;
  if (!section.contains("min_lr")) train.min_lr = default_min_lr(train);
  if (!section.contains("warmup_steps")) train.warmup_steps = default_warmup_steps(train);
  if (section.contains("betas")) {
    const Json& betas = section["betas"];
    require(betas.is_array() && betas.size() == 2 && betas[0].is_number() && betas[1].is_number(),
            "{}: betas: expected two numbers, found {}", source, betas.dump());
    train.beta1 = betas[0].get<double>();
    train.beta2 = betas[1].get<double>();
  }
  std::string dtype = dtype_name(train.dtype);
  KeyReader{section, source}("dtype", dtype);
  train.dtype = parse_dtype(dtype, source + ": dtype");
  check_train_config(train, source);
  require(config.batch_size >= 1, "{}: batch_size must be at least 1, found {}", source, config.batch_size);
  require(config.context_length >= 1, "{}: context_length must be at least 1, found {}", source, config.context_length);
  require(config.validation_windows >= 1, "{}: validation_windows must be at least 1, found {}", source,
          config.validation_windows);
  require(config.threads >= 0 && config.threads <= 4096, "{}: threads must be 0 to 4096, found {}", source,
          config.threads);
}

void parse_finetune(const Json& section, const std::string& source, RunConfig& config) {
  require_known_keys(section, keys_of([](auto& c, auto visit) { visit_finetune_keys(c.finetune, visit); }, {}), source);
  visit_finetune_keys(config.finetune, KeyReader{section, source});
  check_finetune_config(config.finetune, source);
}

// [train] of a run with stages, which say how many steps it has.
Json with_steps_of_stages(Json train, const Json& stages, const std::string& source) {
  const std::int64_t steps = steps_of_stages(stages, source);
  if (!train.is_object()) return train;
  const auto given = json_field_or<std::int64_t>(train, "steps", steps, source + " [train]");
  require(given == steps, "{} [train]: steps is {}, but [[stages]] have {} in all: leave it out, or change a stage",
          source, given, steps);
  train["steps"] = steps;
  return train;
}

// The keys that a section of a kind of model may have, given what its windows know of positions.
std::vector<std::string> keys_of_kind(const Kind& kind, WindowPositions positions) {
  ModelConfig example;
  example.kind = kind.name;
  example.window_positions = positions;
  return model_config_keys(example);
}

// The same where nothing tells which kind it is, as the key that would may be the one that is misspelt: those of all.
std::vector<std::string> keys_of_all_kinds() {
  std::vector<std::string> keys;
  for (const Kind* const kind : all_kinds()) {
    for (const std::string& key : keys_of_kind(*kind, WindowPositions::rope)) {
      if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
    }
  }
  return keys;
}

ModelConfig parse_model(Json section, const std::string& source, std::optional<VocabularyHint> vocabulary) {
  require(section.is_object(), "{}: expected a table of keys", source);
  const Kind* const kind = find_kind(section, source);
  require_known_keys(
      section, kind != nullptr ? keys_of_kind(*kind, parse_window_positions(section, source)) : keys_of_all_kinds(),
      source);
  const bool landmarks = kind != nullptr && kind->has_landmarks;
  if (vocabulary) {
    const std::int64_t needed = vocabulary->vocab_size + (landmarks ? 1 : 0);
    if (!section.contains("vocab_size")) section["vocab_size"] = needed;
    if (landmarks && !section.contains("chunk_id")) section["chunk_id"] = vocabulary->vocab_size;
  } else {
    require(section.contains("vocab_size"), "{}: vocab_size is not given, and no data whose tokenizer would say it",
            source);
    if (landmarks && !section.contains("chunk_id") && section["vocab_size"].is_number_integer()) {
      section["chunk_id"] = section["vocab_size"].get<std::int64_t>() - 1;
    }
  }
  if (vocabulary && section["vocab_size"].is_number_integer()) {
    const auto given = section["vocab_size"].get<std::int64_t>();
    require(given >= vocabulary->vocab_size + (landmarks ? 1 : 0),
            "{}: vocab_size {} cannot hold the tokenizer's {} ids{}", source, given, vocabulary->vocab_size,
            landmarks ? " and the landmark" : "");
  }
  const ModelConfig config = parse_model_config(section, source);
  require(!vocabulary || !landmarks || config.landmark_id >= vocabulary->vocab_size,
          "{}: chunk_id {} is one of the tokenizer's {} ids; the landmark needs one of its own", source,
          config.landmark_id, vocabulary ? vocabulary->vocab_size : 0);
  return config;
}

// Of a run's complete object: how many steps it has, and over how many its learning rate falls.
std::int64_t steps_of(const Json& run) { return json_field<std::int64_t>(run.at("train"), "steps", "[train]"); }

std::int64_t schedule_of(const Json& run) {
  const auto given = json_field_or<std::int64_t>(run.at("train"), "schedule_steps", 0, "[train]");
  return given > 0 ? given : steps_of(run);
}

Json section_of(const Json& value, const char* name) { return value.contains(name) ? value[name] : Json::object(); }

}  // namespace

RunConfig parse_run_config(const Json& value, const std::string& source, std::optional<VocabularyHint> vocabulary) {
  require_known_keys(value, {"model", "train", "stages", "data", "finetune"}, source);
  require(value.contains("model"), "{}: has no [model] section", source);
  require(!value.contains("stages") || !value.contains("finetune"),
          "{}: has [[stages]], which are of `lookback train`, and [finetune]", source);
  RunConfig config;
  const Json train = section_of(value, "train");
  parse_train(value.contains("stages") ? with_steps_of_stages(train, value["stages"], source) : train,
              source + " [train]", config);
  if (value.contains("finetune")) parse_finetune(value["finetune"], source + " [finetune]", config);
  const std::string data_source = source + " [data]";
  const Json data = section_of(value, "data");
  require_known_keys(data, keys_of([](auto& c, auto visit) { visit_data_keys(c, visit); }, {}), data_source);
  visit_data_keys(config, KeyReader{data, data_source});
  config.model = parse_model(value["model"], source + " [model]", vocabulary);
  if (value.contains("stages")) parse_stages(value["stages"], source, config);
  return config;
}

Json to_json(const RunConfig& config) {
  Json train = Json::object();
  Json data = Json::object();
  visit_train_keys(config, [&](const char* key, const auto& value) { train[key] = value; });
  train["betas"] = {config.train.beta1, config.train.beta2};
  train["dtype"] = dtype_name(config.train.dtype);
  visit_data_keys(config, [&](const char* key, const auto& value) { data[key] = value; });
  Json json = {{"model", to_json(config.model)}, {"train", train}};
  if (!config.stages.empty()) json["stages"] = stages_to_json(config);
  json["data"] = data;
  if (!config.finetune.tasks.empty()) {
    visit_finetune_keys(config.finetune, [&](const char* key, const auto& value) { json["finetune"][key] = value; });
  }
  return json;
}

Json overlay(const Json& base, const Json& changes) {
  Json result = base;
  for (const auto& [section, keys] : changes.items()) {
    if (!keys.is_object()) {
      result[section] = keys;
      continue;
    }
    for (const auto& [key, value] : keys.items()) result[section][key] = value;
  }
  return result;
}

void follow_stages(const Json& given, const std::string& source, Json& after) {
  if (!after.contains("stages")) return;
  const std::int64_t of_stages = steps_of_stages(after["stages"], source);
  const bool has_steps = given.contains("train") && given["train"].contains("steps");
  if (given.contains("stages") && !has_steps) after["train"]["steps"] = of_stages;
  if (given.contains("stages") || !has_steps) return;
  Json& last = after["stages"].back();
  const std::int64_t added = steps_of(after) - of_stages;
  if (added > 0) last["steps"] = last["steps"].get<std::int64_t>() + added;
}

void keep_schedule(const Json& before, Json& after) {
  if (before.contains("stages") && after.contains("stages")) keep_stage_schedule(before["stages"], after["stages"]);
  if (steps_of(after) > steps_of(before)) after["train"]["schedule_steps"] = schedule_of(before);
}

std::vector<std::string> altering_differences(const Json& before, const Json& after) {
  static const std::set<std::string> harmless = {"train.validate_every",
                                                 "train.validation_windows",
                                                 "train.checkpoint_every",
                                                 "train.keep_checkpoints",
                                                 "data.train",
                                                 "data.valid"};
  // Cards are alike: cuda:0 and cuda:1 give the same.
  const auto same_value = [](const std::string& name, const Json& a, const Json& b) {
    if (name != "train.device" || !a.is_string() || !b.is_string()) return a == b;
    const auto kind = [](const std::string& device) { return device.substr(0, device.find(':')); };
    return kind(a.get<std::string>()) == kind(b.get<std::string>());
  };
  // Keys that there were not yet when a run began.
  static const std::map<std::string, Json> younger = {{"train.retriever_embeddings", ""}, {"train.schedule_steps", 0}};
  const bool is_longer = steps_of(after) > steps_of(before) && schedule_of(after) == schedule_of(before);
  std::vector<std::string> names;
  for (const auto& [section, keys] : after.items()) {
    if (section == "stages") continue;
    for (const auto& [key, value] : keys.items()) {
      const std::string name = fmt::format("{}.{}", section, key);
      if (is_longer && (name == "train.steps" || name == "train.schedule_steps")) continue;
      const auto default_value = younger.find(name);
      const bool there = before.contains(section) && before[section].contains(key);
      const bool same = there ? same_value(name, before[section][key], value)
                              : default_value != younger.end() && default_value->second == value;
      if (!same && !harmless.contains(name)) names.push_back(name);
    }
  }
  if (before.contains("stages") != after.contains("stages")) {
    names.emplace_back("[[stages]]");
  } else if (before.contains("stages")) {
    for (std::string& name : altering_stage_differences(before["stages"], after["stages"])) names.push_back(name);
  }
  return names;
}

}  // namespace lookback
