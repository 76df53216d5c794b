#include "cli/run_config_flags.h"

#include "train/toml.h"

namespace lookback {
namespace {

template <typename T>
void add_key(CLI::App& command, const std::shared_ptr<RunConfigFlags>& flags, const char* flag, const char* section,
             const char* key, const char* help) {
  command.add_option_function<T>(
      flag, [flags, section, key](const T& value) { flags->overrides[section][key] = value; }, help);
}

}  // namespace

Json RunConfigFlags::given() const {
  return config_path.empty() ? overrides : overlay(read_toml_file(config_path), overrides);
}

std::shared_ptr<RunConfigFlags> add_train_key_flags(CLI::App& command) {
  auto flags = std::make_shared<RunConfigFlags>();
  add_key<std::int64_t>(command, flags, "--steps", "train", "steps", "Optimizer steps");
  add_key<double>(command, flags, "--lr", "train", "lr", "Highest learning rate");
  add_key<double>(command, flags, "--min-lr", "train", "min_lr", "Learning rate at the end");
  add_key<std::int64_t>(command, flags, "--warmup-steps", "train", "warmup_steps", "Steps of linear warmup");
  add_key<double>(command, flags, "--weight-decay", "train", "weight_decay", "AdamW's weight decay");
  add_key<double>(command, flags, "--clip", "train", "clip_grad_norm", "Largest gradient norm; 0: no clipping");
  add_key<std::int64_t>(command, flags, "--batch-size", "train", "batch_size", "Sequences a batch");
  add_key<std::int64_t>(command, flags, "--grad-accumulation", "train", "grad_accumulation_steps", "Batches a step");
  add_key<bool>(command, flags, "--gradient-checkpointing", "train", "gradient_checkpointing",
                "true: keep less for backward, compute more");
  add_key<std::int64_t>(command, flags, "--seed", "train", "seed", "Of weights, data order and noise");
  add_key<std::string>(command, flags, "--device", "train", "device", "cpu, cuda or cuda:N");
  add_key<std::string>(command, flags, "--dtype", "train", "dtype", "float32 or bfloat16");
  add_key<std::int64_t>(command, flags, "--threads", "train", "threads",
                        "0: one a core that it may use; fewer for small models");
  add_key<std::int64_t>(command, flags, "--validate-every", "train", "validate_every", "Steps between validations");
  add_key<std::int64_t>(command, flags, "--validation-windows", "train", "validation_windows", "Windows validated on");
  add_key<std::int64_t>(command, flags, "--checkpoint-every", "train", "checkpoint_every", "Steps between checkpoints");
  add_key<std::int64_t>(command, flags, "--keep-checkpoints", "train", "keep_checkpoints", "How many of the last stay");
  return flags;
}

std::shared_ptr<RunConfigFlags> add_run_config_flags(CLI::App& command) {
  auto flags = add_train_key_flags(command);
  command.add_option("--config", flags->config_path, "Run configuration (TOML): [model], [train], [data]");
  add_key<std::string>(command, flags, "--data", "data", "train", "Prepared data: a folder of `lookback prepare`");
  add_key<std::string>(command, flags, "--valid", "data", "valid", "Prepared validation data");
  add_key<std::int64_t>(command, flags, "--context", "train", "context_length", "Text tokens a sequence");
  add_key<std::string>(command, flags, "--init", "train", "init", "Start from the weights of this model folder");
  add_key<std::string>(command, flags, "--retriever-embeddings", "train", "retriever_embeddings",
                       "rpt: the retriever's vectors (safetensors), a row a token");
  return flags;
}

}  // namespace lookback
