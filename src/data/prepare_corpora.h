// Several corpora to one dataset, mixed by weights. Each is prepared by itself in OUT/corpora/NAME, and goes on there
// after a stop; then their documents are copied into one stream (mixture.h), and OUT/corpora is removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/prepare.h"

namespace lookback {

struct Corpus {
  std::string name;  // letters, digits, '-', '_', '.' behind the first
  std::vector<std::filesystem::path> inputs;
  std::optional<double> weight;  // of all corpora or of none: then every document is taken once
};

struct CorporaConfig {
  PrepareConfig prepare;  // of every corpus; `inputs` is empty, `out` the folder of the mixture
  std::vector<Corpus> corpora;
  std::int64_t mixed_tokens = 0;  // of the training part; 0: as few as hold every document (mixture.h)
  std::uint64_t seed = 0;
};

// As prepare(), and its result for the mixture. With a part for validation, that holds every document of its side once:
// weights are for training. Throws Error also for names and weights that are none.
PrepareResult prepare_corpora(const CorporaConfig& config, const Tokenizer& tokenizer, const PrepareListener& listener);

}  // namespace lookback
