// Ranges of the numbers in config.json.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace lookback {

// Far above all models that there are, and far below where products of two sizes overflow.
inline constexpr std::int64_t largest_size = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t most_layers = 4096;
inline constexpr std::int64_t most_retrieved = 65'536;  // chunks or positions that one query reads

inline constexpr std::int64_t widest_convolution = 64;  // positions

// Throws Error naming `source` and `key` unless smallest <= number <= largest.
void check_range(std::int64_t number, std::int64_t smallest, std::int64_t largest, const char* key,
                 const std::string& source);

// The same for 1 to largest_size.
void check_positive(std::int64_t number, const char* key, const std::string& source);

// Throws Error naming `source` unless heads of this size can have rotary positions of this base.
void check_rotary(std::int64_t head_dim, double rope_theta, const std::string& source);

// The same for the positions of a short convolution: none, or itself and others.
void check_conv_kernel(std::int64_t width, const char* key, const std::string& source);

}  // namespace lookback
