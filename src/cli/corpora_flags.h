// The flags by which several corpora are mixed, and what is shown of the mixture.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/prepare_corpora.h"

namespace lookback {

struct CorporaFlags {
  std::vector<std::string> corpora;  // "NAME=PATH", further paths of the same corpus behind it
  std::string weights, mix_tokens;
  std::uint64_t seed = 0;
};

void add_corpora_flags(CLI::App& command, CorporaFlags& flags);

// Corpora, weights, tokens and seed as the flags say. Throws Error naming the flag.
void read_corpora_flags(const CorporaFlags& flags, CorporaConfig& config);

// A list with an object a corpus.
Json mixture_json(const DatasetMixture& mixture);

void print_mixture(const DatasetMixture& mixture);

}  // namespace lookback
