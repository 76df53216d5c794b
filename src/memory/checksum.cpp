#include "memory/checksum.h"

#include <xxhash.h>

#include <cstring>

#include "core/error.h"

namespace lookback {

std::uint64_t checksum(std::span<const std::byte> bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

void append_checksum(std::vector<std::byte>& bytes) {
  const std::uint64_t sum = checksum(bytes);
  bytes.resize(bytes.size() + sizeof(sum));
  std::memcpy(bytes.data() + bytes.size() - sizeof(sum), &sum, sizeof(sum));
}

std::span<const std::byte> checked(std::span<const std::byte> bytes, const std::string& source, const char* what) {
  std::uint64_t sum = 0;
  require(bytes.size() >= sizeof(sum), "{}: {} is cut short: the file is damaged", source, what);
  const std::span<const std::byte> content = bytes.first(bytes.size() - sizeof(sum));
  std::memcpy(&sum, bytes.data() + content.size(), sizeof(sum));
  require(sum == checksum(content), "{}: the checksum of {} does not fit: the file is damaged", source, what);
  return content;
}

}  // namespace lookback
