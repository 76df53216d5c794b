// Weights and configurations of models.
#include <ATen/ATen.h>

#include <string>

#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_targets.h"
#include "models/model_folder.h"
#include "models/torch_checkpoint.h"
#include "models/torch_pickle.h"
#include "nn/safetensors.h"

namespace lookback {

void fuzz_safetensors(std::string_view input) {
  static const FuzzFolder folder;
  const auto path = folder.write("a.safetensors", input);
  allow_errors([&path] { read_safetensors(path); });
}

void fuzz_torch_checkpoint(std::string_view input) {
  static const FuzzFolder folder;
  const auto path = folder.write("model.bin", input);
  allow_errors([&path] { read_torch_checkpoint(path); });
}

// Without the archive around it, whose checksums nothing that is changed at random gets past.
void fuzz_torch_pickle(std::string_view input) {
  allow_errors([input] {
    read_state_dict_pickle(
        input, [](const std::string& key) { return std::string(key.size() < 3 ? 64 : 0, '\x3f'); }, "a pickle");
  });
}

// Parts: config.json, model.safetensors.index.json, model.safetensors, another safetensors file.
void fuzz_model_folder(std::string_view input) {
  static const FuzzFolder folder;
  const auto parts = split_parts(input, 4);
  folder.clear();
  folder.write("config.json", parts[0]);
  if (!parts[1].empty()) folder.write("model.safetensors.index.json", parts[1]);
  folder.write(parts[1].empty() ? "model.safetensors" : "model-00001-of-00002.safetensors", parts[2]);
  folder.write("model-00002-of-00002.safetensors", parts[3]);
  allow_errors([] { load_model(folder.path(), at::kCPU); });
}

}  // namespace lookback
