#include "train/training_length.h"

#include "core/json.h"
#include "models/model_folder.h"
#include "train/toml.h"

namespace lookback {

std::int64_t training_length(const std::filesystem::path& model, const ModelConfig& config) {
  constexpr std::int64_t num_chunks = 64;
  const std::filesystem::path checkpoint = std::filesystem::canonical(resolve_model_folder(model));
  const std::filesystem::path run_config = checkpoint.parent_path().parent_path() / "config.toml";
  const std::int64_t unknown = num_chunks * config.chunk_size;
  if (!std::filesystem::exists(run_config)) return unknown;
  const Json run = read_toml_file(run_config);
  return run.contains("train") ? json_field_or(run["train"], "context_length", unknown, run_config.string()) : unknown;
}

}  // namespace lookback
