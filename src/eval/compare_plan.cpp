#include "eval/compare_plan.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "core/error.h"
#include "data/needle_task.h"
#include "models/cost.h"
#include "train/known_keys.h"

namespace lookback {
namespace {

constexpr std::int64_t width_step = 8;  // MLP widths stay multiples of vectors

Json section_of(const Json& value, const char* name, const std::string& source) {
  const Json section = value.contains(name) ? value.at(name) : Json::object();
  require(section.is_object(), "{}: {}: expected a table of keys", source, name);
  return section;
}

void check_name(const std::string& name, const std::string& source) {
  const bool usable = !name.empty() && name != "." && name != ".." && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
  require(usable, "{}: models: the name \"{}\" must be letters, digits, '-', '_' and '.': it names files", source,
          name);
}

std::int64_t parameters_with_width(ModelConfig config, std::int64_t width) {
  config.intermediate_size = width;
  return count_parameters(config);
}

// The number of parameters is linear in the width.
std::int64_t width_for(const ModelConfig& config, std::int64_t wanted, const std::string& source) {
  const std::int64_t base = parameters_with_width(config, width_step);
  const std::int64_t step = parameters_with_width(config, 2 * width_step) - base;
  require(wanted >= base, "{}: has {} parameters with the narrowest MLPs, more than the {} to match: fewer layers?",
          source, base, wanted);
  const auto steps = std::llround(static_cast<double>(wanted - base) / static_cast<double>(step));
  return width_step * (1 + steps);
}

std::vector<std::int64_t> seeds_of(const Json& value, const std::vector<std::int64_t>& otherwise,
                                   const std::string& source) {
  std::vector<std::int64_t> seeds = json_field_or(value, "seeds", otherwise, source);
  const std::set<std::int64_t> different(seeds.begin(), seeds.end());
  require(!seeds.empty() && different.size() == seeds.size() && *different.begin() >= 0,
          "{}: seeds: expected different whole numbers from 0 on", source);
  return seeds;
}

NeedlePlan parse_needles(const Json& value, const std::string& source) {
  require(value.is_object(), "{}: expected a table of keys", source);
  require_known_keys(value, {"task", "steps", "lr", "batch_size", "train_lengths", "lengths", "samples"}, source);
  NeedlePlan plan;
  plan.task = json_field_or(value, "task", plan.task, source);
  plan.steps = json_field_or(value, "steps", plan.steps, source);
  plan.lr = json_field_or(value, "lr", plan.lr, source);
  plan.batch_size = json_field_or(value, "batch_size", plan.batch_size, source);
  plan.train_lengths = json_field_or(value, "train_lengths", plan.train_lengths, source);
  plan.lengths = json_field_or(value, "lengths", plan.lengths, source);
  plan.samples = json_field_or(value, "samples", plan.samples, source);
  parse_needle_kind(plan.task);
  for (const std::int64_t count : {plan.steps, plan.batch_size, plan.samples}) {
    require(count >= 1, "{}: steps, batch_size and samples are numbers from 1 on, found {}", source, count);
  }
  return plan;
}

}  // namespace

ComparePlan parse_compare_plan(const Json& value, const std::string& source, const VocabularyHint& vocabulary) {
  require_known_keys(value, {"compare", "needles", "model", "train", "models"}, source);
  const Json compare = section_of(value, "compare", source);
  require_known_keys(
      compare,
      {"seeds", "match_parameters", "contexts", "max_tokens", "max_document_tokens", "prompt_tokens", "new_tokens"},
      source + ": [compare]");
  ComparePlan plan;
  plan.contexts = json_field_or(compare, "contexts", plan.contexts, source);
  plan.max_tokens = json_field_or(compare, "max_tokens", plan.max_tokens, source);
  plan.max_document_tokens = json_field_or(compare, "max_document_tokens", plan.max_document_tokens, source);
  plan.prompt_tokens = json_field_or(compare, "prompt_tokens", plan.prompt_tokens, source);
  plan.new_tokens = json_field_or(compare, "new_tokens", plan.new_tokens, source);
  require(plan.new_tokens >= 2, "{}: new_tokens: expected at least 2, found {}", source, plan.new_tokens);
  if (value.contains("needles")) plan.needles = parse_needles(value.at("needles"), source + ": [needles]");
  const std::vector<std::int64_t> seeds = seeds_of(compare, {0}, source + ": [compare]");
  const Json shared = {{"model", section_of(value, "model", source)}, {"train", section_of(value, "train", source)}};
  require(value.contains("models") && value.at("models").is_array() && !value.at("models").empty(),
          "{}: no [[models]]: nothing to compare", source);

  std::vector<RunConfig> configs;
  for (const Json& entry : value.at("models")) {
    CompareModel model;
    model.name = json_field<std::string>(entry, "name", source + ": models");
    const std::string where = source + ": models: " + model.name;
    check_name(model.name, source);
    require(std::ranges::none_of(plan.models, [&](const CompareModel& other) { return other.name == model.name; }),
            "{}: the name is given twice", where);
    require_known_keys(entry, {"name", "seeds", "contexts", "model", "train"}, where);
    model.seeds = seeds_of(entry, seeds, where);
    model.contexts = json_field_or<std::string>(entry, "contexts", "", where);
    model.run =
        overlay(shared, {{"model", section_of(entry, "model", where)}, {"train", section_of(entry, "train", where)}});
    require(!model.run["train"].contains("seed"), "{}: seed: seeds of [compare] or of the model say it", where);
    configs.push_back(parse_run_config(model.run, where, vocabulary));
    model.kind = configs.back().model.kind;
    plan.models.push_back(std::move(model));
  }

  const auto wanted_name = json_field_or<std::string>(compare, "match_parameters", "", source);
  const auto wanted = std::ranges::find(plan.models, wanted_name, &CompareModel::name);
  require(wanted_name.empty() || wanted != plan.models.end(), "{}: match_parameters: there is no model \"{}\"", source,
          wanted_name);
  const auto tokens_of = [](const RunConfig& config) {
    return config.train.steps * config.train.grad_accumulation_steps * config.batch_size * config.context_length;
  };
  for (std::size_t i = 0; i < plan.models.size(); ++i) {
    CompareModel& model = plan.models[i];
    require(tokens_of(configs[i]) == tokens_of(configs[0]), "{}: models: {} trains on {} tokens, {} on {}", source,
            model.name, tokens_of(configs[i]), plan.models[0].name, tokens_of(configs[0]));
    if (!wanted_name.empty() && model.name != wanted_name) {
      const auto target = configs[static_cast<std::size_t>(wanted - plan.models.begin())];
      configs[i].model.intermediate_size =
          width_for(configs[i].model, count_parameters(target.model), source + ": models: " + model.name);
      model.run["model"]["intermediate_size"] = configs[i].model.intermediate_size;
    }
    model.num_parameters = count_parameters(configs[i].model);
  }
  return plan;
}

Json to_json(const ComparePlan& plan) {
  Json models = Json::array();
  for (const CompareModel& model : plan.models) {
    models.push_back({{"name", model.name},
                      {"kind", model.kind},
                      {"seeds", model.seeds},
                      {"contexts", model.contexts},
                      {"num_parameters", model.num_parameters},
                      {"run", model.run}});
  }
  Json json = {{"contexts", plan.contexts},
               {"max_tokens", plan.max_tokens},
               {"max_document_tokens", plan.max_document_tokens},
               {"prompt_tokens", plan.prompt_tokens},
               {"new_tokens", plan.new_tokens},
               {"models", models}};
  if (plan.needles) {
    const NeedlePlan& needles = *plan.needles;
    json["needles"] = {{"task", needles.task},
                       {"steps", needles.steps},
                       {"lr", needles.lr},
                       {"batch_size", needles.batch_size},
                       {"train_lengths", needles.train_lengths},
                       {"lengths", needles.lengths},
                       {"samples", needles.samples}};
  }
  return json;
}

}  // namespace lookback
