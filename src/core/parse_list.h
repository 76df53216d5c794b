// Numbers and lists of them as people write them, in flags and configurations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lookback {

// "512", "4K" (4096), "1M" (1024 * 1024). `what` names the argument in the Error; at least 1.
std::int64_t parse_size(const std::string& text, const std::string& what);

// "4K,64K,1M". Throws Error for an empty list or entry.
std::vector<std::int64_t> parse_sizes(const std::string& text, const std::string& what);

// "0,12.5,100" -> {0, 0.125, 1}. Throws Error for numbers outside of 0 to 100.
std::vector<double> parse_percents(const std::string& text, const std::string& what);

// The parts between commas.
std::vector<std::string> split_list(const std::string& text);

}  // namespace lookback
