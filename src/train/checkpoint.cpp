#include "train/checkpoint.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "models/model_folder.h"
#include "nn/safetensors.h"

namespace lookback {
namespace {

constexpr const char* optimizer_name = "optimizer.safetensors";
constexpr const char* trainer_name = "trainer.json";
constexpr const char* generator_tensor = "generator_state";
constexpr int format_version = 1;

}  // namespace

bool has_finite_weights(const Model& model) {
  const auto& parameters = model.parameters().named();
  return std::all_of(parameters.begin(), parameters.end(),
                     [](const auto& entry) { return entry.second.detach().isfinite().all().template item<bool>(); });
}

void write_checkpoint(const CheckpointParts& parts, const std::filesystem::path& folder) {
  save_model(parts.model, folder);
  if (parts.tokenizer != nullptr) parts.tokenizer->save(folder);
  NamedTensors tensors = parts.optimizer.state();
  tensors.emplace_back(generator_tensor, parts.generator.get_state());
  write_safetensors(folder / optimizer_name, tensors);
  const TrainProgress& progress = parts.progress;
  Json json = {{"format_version", format_version}, {"step", progress.step},
               {"tokens", progress.tokens},        {"recent_losses", progress.recent_losses},
               {"best_loss", progress.best_loss},  {"best_step", progress.best_step},
               {"validation_loss", nullptr},       {"batch_source", parts.source.state()}};
  if (progress.validation_loss) json["validation_loss"] = *progress.validation_loss;
  write_json_file(folder / trainer_name, json);
}

void read_checkpoint(const CheckpointParts& parts, const std::filesystem::path& folder) {
  const std::filesystem::path trainer_path = folder / trainer_name;
  const std::string source = trainer_path.string();
  const Json json = read_json_file(trainer_path);
  const int version = json_field<int>(json, "format_version", source);
  require(version == format_version, "{}: format_version {} is unknown to this program, which reads {}", source,
          version, format_version);
  TrainProgress progress;
  progress.step = json_field<std::int64_t>(json, "step", source);
  progress.tokens = json_field<std::int64_t>(json, "tokens", source);
  // Checkpoints of the first programs had another mean; of them the recent steps are those to come.
  progress.recent_losses = json_field_or(json, "recent_losses", progress.recent_losses, source);
  // JSON has no infinity: null stands for the value before the first step.
  progress.best_loss = json_field_or(json, "best_loss", progress.best_loss, source);
  progress.best_step = json_field<std::int64_t>(json, "best_step", source);
  if (json.contains("validation_loss") && !json["validation_loss"].is_null()) {
    progress.validation_loss = json_field<double>(json, "validation_loss", source);
  }

  load_weights(folder, parts.model);
  const std::filesystem::path optimizer_path = folder / optimizer_name;
  const NamedTensors tensors = read_safetensors(optimizer_path);
  parts.optimizer.restore(tensors, optimizer_path.string());
  const auto generator =
      std::find_if(tensors.begin(), tensors.end(), [](const auto& entry) { return entry.first == generator_tensor; });
  if (generator == tensors.end()) fail("{}: {} is missing", optimizer_path.string(), generator_tensor);
  try {
    parts.generator.set_state(generator->second);
  } catch (const c10::Error&) {
    fail("{}: {} is not a state of this device's random generator", optimizer_path.string(), generator_tensor);
  }
  parts.source.restore(json_field<Json>(json, "batch_source", source));
  parts.progress = progress;
}

}  // namespace lookback
