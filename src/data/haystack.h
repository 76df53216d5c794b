// The text in which needles are hidden, by the name that a caller gives it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace lookback {

inline constexpr std::int64_t generated_haystack_bytes = 2'000'000;

// Ids of a text file, or of the first 32M tokens of a folder of `lookback prepare` (its training part, where it was
// split); of `generated_bytes` of generated sentences where `path` is empty. Throws Error naming what is empty, missing
// or was prepared with another tokenizer.
std::vector<std::int64_t> read_haystack(const std::string& path, std::int64_t generated_bytes, std::uint64_t seed,
                                        const Tokenizer& tokenizer);

}  // namespace lookback
