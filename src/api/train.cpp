#include "lookback/train.h"

#include "core/json.h"
#include "train/run_config.h"
#include "train/text_run.h"
#include "train/toml.h"

namespace lookback {
namespace {

Json given_sections(const TrainingRun& run) {
  Json given = {{"model", Json::object()}, {"train", Json::object()}, {"data", Json::object()}};
  if (!run.config.empty()) given = overlay(given, read_toml_file(run.config));
  given = overlay(given, parse_toml(run.settings, "settings"));
  if (!run.data.empty()) given["data"]["train"] = run.data.string();
  return given;
}

}  // namespace

TrainResult train(const TrainingRun& run) {
  const RunPlace place{"train", run.out.string(), run.resume, run.from_step};
  const std::string source = !run.config.empty() ? run.config.string() : run.resume ? place.config_path() : "settings";
  return train_on_text(place, given_sections(run), source, {run.on_warning, run.on_note, run.on_step, run.live_line},
                       run.stop);
}

}  // namespace lookback
