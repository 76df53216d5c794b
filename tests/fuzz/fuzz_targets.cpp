#include "fuzz/fuzz_targets.h"

#include <algorithm>
#include <array>

namespace lookback {
namespace {

constexpr std::array targets = {
    FuzzTarget{"tokenizer_json", fuzz_tokenizer_json},
    FuzzTarget{"sentencepiece_model", fuzz_sentencepiece_model},
    FuzzTarget{"token_lines", fuzz_token_lines},
    FuzzTarget{"documents", fuzz_documents},
    FuzzTarget{"json_lines", fuzz_json_lines},
    FuzzTarget{"dataset", fuzz_dataset},
    FuzzTarget{"prepare_journal", fuzz_prepare_journal},
    FuzzTarget{"safetensors", fuzz_safetensors},
    FuzzTarget{"torch_checkpoint", fuzz_torch_checkpoint},
    FuzzTarget{"torch_pickle", fuzz_torch_pickle},
    FuzzTarget{"model_folder", fuzz_model_folder},
    FuzzTarget{"run_config", fuzz_run_config},
    FuzzTarget{"checkpoint", fuzz_checkpoint},
    FuzzTarget{"metrics", fuzz_metrics},
    FuzzTarget{"session", fuzz_session},
    FuzzTarget{"memory", fuzz_memory},
    FuzzTarget{"memory_index", fuzz_memory_index},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return targets; }

const FuzzTarget* find_fuzz_target(std::string_view name) {
  const auto* const found =
      std::ranges::find_if(targets, [name](const FuzzTarget& target) { return name == target.name; });
  return found == targets.end() ? nullptr : found;
}

}  // namespace lookback
