#include "cli/inference_flags.h"

#include "cli/kernel_warning.h"
#include "generate/inference_model.h"
#include "ops/parallel.h"

namespace lookback {

void add_inference_flags(CLI::App& command, InferenceFlags& flags) {
  command.add_option("--model", flags.model, "Model folder, or a training run's folder (its best checkpoint)")
      ->required()
      ->type_name("RUN");
  command.add_option("--device", flags.options.device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--dtype", flags.options.dtype, "float32 or bfloat16, of weights, activations and chunk memory")
      ->capture_default_str();
  command.add_option("--threads", flags.options.threads, "CPU threads (default: one a core)")
      ->check(CLI::PositiveNumber);
}

int thread_count(const InferenceFlags& flags) {
  return flags.options.threads > 0 ? flags.options.threads : default_threads();
}

LanguageModel open_model(const InferenceFlags& flags) {
  LanguageModel model(flags.model, flags.options);
  const InferenceModel& opened = model.opened();
  warn_of_missing_kernels(opened.model->parameters().device(), opened.dtype, opened.model->config());
  return model;
}

}  // namespace lookback
