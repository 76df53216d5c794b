#include "eval/compare_step.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <vector>

#include "api/answer_json.h"
#include "core/error.h"
#include "core/parse_list.h"
#include "core/progress.h"
#include "core/stored_text.h"
#include "data/haystack.h"
#include "eval/dataset_perplexity.h"
#include "eval/haystack_needles.h"
#include "generate/inference_model.h"
#include "generate/reading_line.h"
#include "lookback/session.h"
#include "lookback/train.h"
#include "ops/missing_kernels.h"
#include "train/finetune_run.h"
#include "train/metrics.h"
#include "train/toml.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using Work = decltype(CompareStep::work);

// In the variant's order.
constexpr std::array<const char*, std::variant_size_v<Work>> names = {"train", "perplexity", "speed", "finetune",
                                                                      "needles"};

// The fields of each step by the names they have in files: what decides the result, and the rest.
void visit_settings(TrainStep& /*step*/, auto& /*visit*/) {}
void visit_settings(PerplexityStep& step, auto& visit) {
  visit("data", step.data);
  visit("context", step.contexts);
  visit("max_tokens", step.max_tokens);
  visit("max_document_tokens", step.max_document_tokens);
}
void visit_settings(SpeedStep& step, auto& visit) {
  visit("prompt_ids", step.prompt);
  visit("max_new_tokens", step.new_tokens);
}
void visit_settings(FinetuneStep& step, auto& visit) {
  visit("task", step.task);
  visit("steps", step.steps);
  visit("lr", step.lr);
  visit("batch_size", step.batch_size);
  visit("length", step.lengths);
}
void visit_settings(NeedlesStep& step, auto& visit) {
  visit("task", step.task);
  visit("lengths", step.lengths);
  visit("samples", step.samples);
}

void visit_places(TrainStep& step, auto& visit) {
  visit("config", step.config);
  visit("data", step.data);
  visit("valid", step.valid);
  visit("seed", step.seed);
  visit("out", step.out);
}
void visit_places(FinetuneStep& step, auto& visit) {
  visit("model", step.model);
  visit("out", step.out);
}
void visit_places(auto& step, auto& visit) { visit("model", step.model); }

struct FieldWriter {
  Json json = Json::object();

  void operator()(const char* key, const fs::path& path) { json[key] = stored_text(path.string()); }
  void operator()(const char* key, const auto& value) { json[key] = value; }
};

struct FieldReader {
  const Json& json;
  const std::string& source;

  void operator()(const char* key, fs::path& path) const {
    path = bytes_of_stored_text(json_field<std::string>(json, key, source));
  }
  template <typename T>
  void operator()(const char* key, T& value) const {
    value = json_field<T>(json, key, source);
  }
};

// A setting as it was spelled among the flags.
std::string flag_value(const Json& setting) {
  if (setting.is_string()) return setting.get<std::string>();
  return setting.is_number_float() ? fmt::format("{}", setting.get<double>()) : setting.dump();
}

bool holds_flag(const std::vector<std::string>& flags, const std::string& key, const Json& setting) {
  std::string flag = "--" + key;
  std::ranges::replace(flag, '_', '-');
  const auto found = std::ranges::find(flags, flag);
  return found != flags.end() && found + 1 != flags.end() && *(found + 1) == flag_value(setting);
}

LanguageModel open_model(const fs::path& folder, const CompareStep& step, const CompareStepListener& listener) {
  ModelOptions options;
  if (!step.device.empty()) options.device = step.device;
  options.threads = step.threads;
  LanguageModel model(folder, options);
  const InferenceModel& opened = model.opened();
  const std::string slow =
      missing_kernels(opened.model->parameters().device(), opened.dtype, opened.model->config().head_dim());
  if (listener.on_warning && !slow.empty()) listener.on_warning(slow);
  return model;
}

bool has_begun(const fs::path& run) { return fs::exists(run / "config.toml"); }

Json do_work(const TrainStep& work, const CompareStep& step, const CompareStepListener& listener,
             const StopToken& stop) {
  TrainingRun run;
  run.out = work.out;
  run.resume = has_begun(work.out);
  run.stop = stop;
  run.on_warning = listener.on_warning;
  run.on_note = listener.on_note;
  run.live_line = !step.quiet;
  Json settings = {{"train", Json::object()}, {"data", Json::object()}};
  if (!run.resume) {
    run.config = work.config;
    run.data = work.data;
    settings["train"]["seed"] = work.seed;
    settings["data"]["valid"] = work.valid.string();
  }
  if (!step.device.empty()) settings["train"]["device"] = step.device;
  run.settings = dump_toml(settings);
  return to_json(train(run), work.out.string());
}

Json do_work(const PerplexityStep& work, const CompareStep& step, const CompareStepListener& listener,
             const StopToken& stop) {
  const ScoredText text =
      open_scored_text(work.data, {.max_tokens = parse_size(work.max_tokens, "max_tokens"),
                                   .max_document_tokens = parse_size(work.max_document_tokens, "max_document_tokens")});
  const LanguageModel model = open_model(work.model, step, listener);
  ProgressLine progress(step.quiet);
  return to_json(evaluate_perplexity(model.opened(), text, parse_contexts(work.contexts, "contexts"), progress, stop),
                 work.model.string(), text);
}

Json do_work(const SpeedStep& work, const CompareStep& step, const CompareStepListener& listener,
             const StopToken& stop) {
  const auto prompt = json_field<std::vector<std::int64_t>>(read_json_file(work.prompt), "ids", work.prompt.string());
  const LanguageModel model = open_model(work.model, step, listener);
  model.check_token_ids(prompt, work.prompt.string());
  GenerateConfig config;
  config.sampling.greedy = true;
  config.stop.max_new_tokens = work.new_tokens;
  config.stop.stop_at_end_of_text = false;
  ProgressLine progress(step.quiet);
  GenerateListener reading;
  reading.stop = stop;
  reading.on_prompt_read = [&](std::int64_t num_read) {
    show_reading(progress, static_cast<double>(num_read), static_cast<double>(prompt.size()));
  };
  return to_json(Session(model).ask(prompt, config, reading), model.has_tokenizer());
}

Json do_work(const FinetuneStep& work, const CompareStep& step, const CompareStepListener& listener,
             const StopToken& stop) {
  const RunPlace place{"finetune", work.out.string(), has_begun(work.out), std::nullopt};
  Json train = {{"init", work.model.string()}, {"steps", work.steps}, {"lr", work.lr}, {"batch_size", work.batch_size}};
  if (!step.device.empty()) train["device"] = step.device;
  const Json given = {{"train", train},
                      {"data", Json::object()},
                      {"finetune", {{"tasks", {work.task}}, {"lengths", parse_sizes(work.lengths, "train_lengths")}}}};
  const RunListener run_listener{listener.on_warning, listener.on_note, {}, !step.quiet};
  return to_json(finetune(place, given, place.config_path(), run_listener, stop), place.out);
}

Json do_work(const NeedlesStep& work, const CompareStep& step, const CompareStepListener& listener,
             const StopToken& stop) {
  NeedleEvaluationConfig config;
  config.task.kind = parse_needle_kind(work.task);
  config.task.chunk_size = 0;
  config.lengths = parse_sizes(work.lengths, "lengths");
  config.num_samples = work.samples;
  const LanguageModel model = open_model(work.model, step, listener);
  fit_to_model(config, model.opened());
  const std::vector<std::int64_t> haystack =
      read_haystack("", generated_haystack_bytes, config.seed, *model.opened().tokenizer);
  ProgressLine progress(step.quiet);
  const NeedleEvaluation evaluation = evaluate_needles(model.opened(), haystack, config, progress, stop);
  return with_model(to_json(evaluation, config), work.model.string(), model.opened());
}

}  // namespace

std::string step_name(const CompareStep& step) { return names.at(step.work.index()); }

Json settings_of(const CompareStep& step) {
  FieldWriter write;
  std::visit([&](auto work) { visit_settings(work, write); }, step.work);
  return write.json;
}

bool has_settings(const CompareStep& step, const Json& found) {
  const Json wanted = settings_of(step);
  if (!found.is_array()) return found == wanted;
  const auto flags = found.get<std::vector<std::string>>();
  return std::ranges::all_of(wanted.items(),
                             [&](const auto& item) { return holds_flag(flags, item.key(), item.value()); });
}

Json to_json(const CompareStep& step) {
  FieldWriter write;
  write("step", step_name(step));
  std::visit(
      [&](auto work) {
        visit_places(work, write);
        visit_settings(work, write);
      },
      step.work);
  write("device", step.device);
  write("threads", step.threads);
  write("quiet", step.quiet);
  return write.json;
}

CompareStep parse_compare_step(const Json& value, const std::string& source) {
  static const std::array<Work, names.size()> kinds = {TrainStep(), PerplexityStep(), SpeedStep(), FinetuneStep(),
                                                       NeedlesStep()};
  const FieldReader read{value, source};
  const auto name = json_field<std::string>(value, "step", source);
  const auto found = std::ranges::find(names, name);
  require(found != names.end(), "{}: step: \"{}\" is none of a comparison's steps", source, name);
  CompareStep step;
  step.work = kinds.at(static_cast<std::size_t>(found - names.begin()));
  std::visit(
      [&](auto& work) {
        visit_places(work, read);
        visit_settings(work, read);
      },
      step.work);
  read("device", step.device);
  read("threads", step.threads);
  read("quiet", step.quiet);
  return step;
}

Json do_compare_step(const CompareStep& step, const CompareStepListener& listener, const StopToken& stop) {
  return std::visit([&](const auto& work) { return do_work(work, step, listener, stop); }, step.work);
}

}  // namespace lookback
