#include "train/stage_config.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/error.h"
#include "train/key_reader.h"
#include "train/known_keys.h"
#include "train/run_config.h"

namespace lookback {
namespace {

template <typename Config, typename Visitor>
void visit_text_keys(Config& text, Visitor&& visit) {
  visit("far_repeat_weight", text.far_repeat_weight);
  visit("near_tokens", text.near_tokens);
  visit("min_match", text.min_match);
}

template <typename Config, typename Visitor>
void visit_self_copy_keys(Config& copies, Visitor&& visit) {
  visit("of", copies.of);
  visit("length", copies.length);
  visit("gap", copies.gap);
  visit("copy_weight", copies.copy_weight);
  if (copies.of == "random") visit("alphabet", copies.alphabet);
}

// Calls visit(key, member) for the keys of a source's data, whichever it is.
template <typename Source, typename Visitor>
void visit_source_keys(Source& source, Visitor&& visit) {
  if (auto* const text = std::get_if<StageText>(&source.data)) visit_text_keys(*text, visit);
  if (auto* const copies = std::get_if<StageSelfCopies>(&source.data)) visit_self_copy_keys(*copies, visit);
  if (auto* const needles = std::get_if<FinetuneConfig>(&source.data)) visit_finetune_keys(*needles, visit);
}

const char* kind_of(const StageSource& source) {
  if (std::holds_alternative<StageText>(source.data)) return "text";
  return std::holds_alternative<StageSelfCopies>(source.data) ? "self-copies" : "needles";
}

// Calls visit(key, member) for the keys of a schedule of a stage's own.
template <typename Config, typename Visitor>
void visit_schedule_keys(Config& train, Visitor&& visit) {
  visit("lr", train.lr);
  visit("min_lr", train.min_lr);
  visit("warmup_steps", train.warmup_steps);
  visit("schedule_steps", train.schedule_steps);
}

// A source of `kind` with its defaults in a stage of `config`.
StageSource default_source(const std::string& kind, const StageConfig& stage, const RunConfig& config,
                           const std::string& source) {
  StageSource made;
  if (kind == "text") {
    made.data = StageText{.near_tokens = config.model.window_size};
  } else if (kind == "self-copies") {
    made.data = StageSelfCopies{};
  } else if (kind == "needles") {
    FinetuneConfig needles;
    needles.lengths = {stage.context_length};
    needles.text_weight = default_needle_text_weight;
    made.data = needles;
  } else {
    fail("{}: kind \"{}\": there are text, self-copies and needles", source, kind);
  }
  return made;
}

void check_weight(double weight, const char* key, const std::string& source) {
  require(std::isfinite(weight) && weight >= 0, "{}: {} must be a number that is not negative, found {}", source, key,
          weight);
}

void check_data(const StageText& text, const StageConfig&, const std::string& source) {
  check_weight(text.far_repeat_weight, "far_repeat_weight", source);
  require(text.near_tokens >= 0, "{}: near_tokens must not be negative, found {}", source, text.near_tokens);
  require(text.min_match >= 1, "{}: min_match must be at least 1, found {}", source, text.min_match);
}

void check_data(const StageSelfCopies& copies, const StageConfig& stage, const std::string& source) {
  require(copies.of == "random" || copies.of == "text", "{}: of \"{}\": there are random and text", source, copies.of);
  const auto check_range = [&source](const std::vector<std::int64_t>& range, std::int64_t least, const char* key) {
    require(range.size() == 2 && range[0] >= least && range[0] <= range[1],
            "{}: {}: expected two numbers of tokens, the least and the most, from {} on, found [{}]", source, key,
            least, fmt::join(range, ", "));
  };
  check_range(copies.length, 1, "length");
  check_range(copies.gap, 0, "gap");
  // The labels go one token beyond the context.
  const std::int64_t room = stage.context_length + 1;
  require(copies.length[1] <= room / 2 && copies.gap[1] <= room - 2 * copies.length[1],
          "{}: twice a length of {} with a gap of {} does not fit into a context_length of {}", source,
          copies.length[1], copies.gap[1], stage.context_length);
  check_weight(copies.copy_weight, "copy_weight", source);
  require(copies.alphabet >= 2, "{}: alphabet must be at least 2 ids, found {}", source, copies.alphabet);
}

void check_data(const FinetuneConfig& needles, const StageConfig& stage, const std::string& source) {
  check_finetune_config(needles, source);
  require(!needles.summarizes(), "{}: tasks: stages have needles only; summaries are learned by `lookback finetune`",
          source);
  for (const std::int64_t length : needles.lengths) {
    require(length <= stage.context_length, "{}: a length of {} does not fit into a context_length of {}", source,
            length, stage.context_length);
  }
}

StageSource parse_source(const Json& value, const StageConfig& stage, const RunConfig& config,
                         const std::string& source) {
  require(value.is_object(), "{}: expected a table of keys, as {{kind = \"text\"}}", source);
  std::string kind;
  KeyReader{value, source}("kind", kind);
  require(!kind.empty(), "{}: no kind: there are text, self-copies and needles", source);
  StageSource parsed = default_source(kind, stage, config, source);
  const KeyReader read{value, source};
  read("weight", parsed.weight);
  visit_source_keys(parsed, read);
  std::vector<std::string> known = {"kind", "weight"};
  visit_source_keys(parsed, [&known](const char* key, const auto&) { known.emplace_back(key); });
  require_known_keys(value, known, source);
  check_weight(parsed.weight, "weight", source);
  std::visit([&](const auto& data) { check_data(data, stage, source); }, parsed.data);
  return parsed;
}

// Nothing where the stage has no learning rate of its own.
std::optional<Schedule> parse_schedule(const Json& value, const RunConfig& config, std::int64_t steps,
                                       const std::string& source) {
  if (!value.contains("lr")) {
    for (const char* const key : {"min_lr", "warmup_steps", "schedule_steps"}) {
      require(!value.contains(key), "{}: {} without lr: a learning rate of the stage's own begins with lr", source,
              key);
    }
    return std::nullopt;
  }
  TrainConfig train = config.train;
  train.stages.clear();
  train.steps = steps;
  train.schedule_steps = 0;
  visit_schedule_keys(train, KeyReader{value, source});
  if (!value.contains("min_lr")) train.min_lr = default_min_lr(train);
  if (!value.contains("warmup_steps")) train.warmup_steps = default_warmup_steps(train);
  check_train_config(train, source);
  return Schedule{train.schedule_steps > 0 ? train.schedule_steps : steps, train.lr, train.min_lr, train.warmup_steps};
}

std::string name_of(std::size_t index) { return fmt::format("[[stages]] {}", index + 1); }

void parse_stage(const Json& value, const std::string& source, RunConfig& config) {
  require_known_keys(
      value, {"steps", "context_length", "batch_size", "lr", "min_lr", "warmup_steps", "schedule_steps", "data"},
      source);
  StageConfig stage{.batch_size = config.batch_size, .context_length = config.context_length, .data = {}};
  TrainStage train;
  const KeyReader read{value, source};
  read("steps", train.steps);
  read("batch_size", stage.batch_size);
  read("context_length", stage.context_length);
  require(stage.batch_size >= 1, "{}: batch_size must be at least 1, found {}", source, stage.batch_size);
  require(stage.context_length >= 1, "{}: context_length must be at least 1, found {}", source, stage.context_length);
  train.schedule = parse_schedule(value, config, train.steps, source);
  require(value.contains("data") && value["data"].is_array() && !value["data"].empty(),
          "{}: data: expected a list of what is read, as [{{kind = \"text\"}}]", source);
  double sum = 0;
  for (const Json& entry : value["data"]) {
    stage.data.push_back(parse_source(entry, stage, config, fmt::format("{}: data {}", source, stage.data.size() + 1)));
    sum += stage.data.back().weight;
  }
  require(sum > 0, "{}: data: the weights are all 0", source);
  config.stages.push_back(std::move(stage));
  config.train.stages.push_back(train);
}

}  // namespace

std::int64_t steps_of_stages(const Json& stages, const std::string& source) {
  require(stages.is_array() && !stages.empty(), "{}: stages: expected [[stages]], tables of keys", source);
  constexpr std::int64_t most_steps = std::int64_t{1} << 53U;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string name = fmt::format("{} {}", source, name_of(i));
    require(stages[i].is_object(), "{}: expected a table of keys", name);
    std::int64_t steps = 0;
    KeyReader{stages[i], name}("steps", steps);
    require(steps >= 1 && steps <= most_steps - sum, "{}: steps must be given and at least 1, found {}", name, steps);
    sum += steps;
  }
  return sum;
}

void parse_stages(const Json& stages, const std::string& source, RunConfig& config) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    parse_stage(stages[i], fmt::format("{} {}", source, name_of(i)), config);
  }
}

Json stages_to_json(const RunConfig& config) {
  Json stages = Json::array();
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    const TrainStage& train = config.train.stages[i];
    Json json = {{"steps", train.steps}, {"batch_size", stage.batch_size}, {"context_length", stage.context_length}};
    if (train.schedule) {
      json["lr"] = train.schedule->lr;
      json["min_lr"] = train.schedule->min_lr;
      json["warmup_steps"] = train.schedule->warmup_steps;
      json["schedule_steps"] = train.schedule->steps;
    }
    for (const StageSource& source : stage.data) {
      Json keys = {{"kind", kind_of(source)}, {"weight", source.weight}};
      visit_source_keys(source, [&keys](const char* key, const auto& value) { keys[key] = value; });
      json["data"].push_back(keys);
    }
    stages.push_back(json);
  }
  return stages;
}

std::string describe_stage(const RunConfig& config, std::size_t index) {
  const StageConfig& stage = config.stages[index];
  std::vector<std::string> names;
  for (const StageSource& source : stage.data) {
    if (source.weight == 0) continue;
    const auto* const copies = std::get_if<StageSelfCopies>(&source.data);
    names.push_back(copies != nullptr ? "self-copies of " + copies->of : kind_of(source));
  }
  return fmt::format("{} steps of {} x {} tokens: {}", config.train.stages[index].steps, stage.batch_size,
                     stage.context_length, fmt::join(names, ", "));
}

void keep_stage_schedule(const Json& before, Json& after) {
  const std::size_t last = before.size() - 1;
  if (after.size() <= last || !after[last].contains("lr")) return;
  for (const char* const key : {"min_lr", "warmup_steps", "schedule_steps"}) {
    if (!after[last].contains(key) && before[last].contains(key)) after[last][key] = before[last][key];
  }
}

std::vector<std::string> altering_stage_differences(const Json& before, const Json& after) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (i >= after.size()) {
      names.push_back(name_of(i));
      continue;
    }
    // As objects whose keys are sorted: a file's have another order.
    const LookupJson old_stage = before[i];
    const LookupJson new_stage = after[i];
    std::set<std::string> keys;
    for (const auto& [key, value] : old_stage.items()) keys.insert(key);
    for (const auto& [key, value] : new_stage.items()) keys.insert(key);
    for (const std::string& key : keys) {
      const bool is_longer = key == "steps" && i + 1 == before.size() && new_stage.contains(key) &&
                             old_stage.contains(key) && new_stage[key] >= old_stage[key];
      const bool same = old_stage.contains(key) && new_stage.contains(key) && old_stage[key] == new_stage[key];
      if (!same && !is_longer) names.push_back(fmt::format("{}: {}", name_of(i), key));
    }
  }
  return names;
}

}  // namespace lookback
