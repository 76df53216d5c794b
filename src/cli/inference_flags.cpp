#include "cli/inference_flags.h"

#include <ATen/Parallel.h>

#include "cli/kernel_warning.h"
#include "models/device.h"
#include "ops/parallel.h"

namespace lookback {

void add_inference_flags(CLI::App& command, InferenceFlags& flags) {
  command.add_option("--model", flags.model, "Model folder, or a training run's folder (its best checkpoint)")
      ->required()
      ->type_name("RUN");
  command.add_option("--device", flags.device, "cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--dtype", flags.dtype, "float32 or bfloat16, of weights, activations and chunk memory")
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "CPU threads (default: one a core)")->check(CLI::PositiveNumber);
}

int thread_count(const InferenceFlags& flags) { return flags.threads > 0 ? flags.threads : default_threads(); }

InferenceModel open_model(const InferenceFlags& flags) {
  at::set_num_threads(thread_count(flags));
  const at::Device device = parse_device(flags.device);
  InferenceModel opened = load_inference_model(flags.model, device, parse_dtype(flags.dtype));
  warn_of_missing_kernels(device, opened.dtype, opened.model->config());
  return opened;
}

}  // namespace lookback
