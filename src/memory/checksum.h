// The checksum of everything in a memory file: xxhash64. Whoever changes a file on purpose can make it fit, so what it
// protects is still checked as if it came from anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lookback {

std::uint64_t checksum(std::span<const std::byte> bytes);
void append_checksum(std::vector<std::byte>& bytes);
// The bytes before the checksum. Throws Error naming `source` and `what` when it does not fit.
std::span<const std::byte> checked(std::span<const std::byte> bytes, const std::string& source, const char* what);

}  // namespace lookback
