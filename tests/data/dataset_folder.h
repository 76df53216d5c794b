// Hand-made dataset folders, written byte by byte as the format says, and a folder that cleans up after itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lookback {

// A folder under the system's temporary one, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_bytes(const std::filesystem::path& path, const std::string& content);

// A dataset whose documents hold `documents` (token ids), id 256 behind each, in shards of `shard_tokens`.
void write_dataset(const std::filesystem::path& folder, const std::vector<std::vector<std::int64_t>>& documents,
                   std::int64_t vocab_size, std::size_t shard_tokens);

}  // namespace lookback
