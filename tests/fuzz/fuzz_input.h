// How targets turn bytes into files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace lookback {

// Stands between the parts of an input that is several files.
inline constexpr std::string_view part_separator = "\n=====\n";

// Exactly `count` parts; those that the input lacks are empty, and the last one has all that is left.
std::vector<std::string_view> split_parts(std::string_view input, std::size_t count);

// A folder of this process, in memory where the machine has such (/dev/shm), removed at its end.
class FuzzFolder {
 public:
  FuzzFolder();
  ~FuzzFolder();
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Writes a file of that name and returns its path.
  std::filesystem::path write(const char* name, std::string_view content) const;
  // Removes everything in it.
  void clear() const;

 private:
  std::filesystem::path path_;
};

// Runs `read`, which may throw Error: an input that is refused. Everything else that it throws is a finding.
template <typename Read>
void allow_errors(const Read& read) {
  try {
    read();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused, as it should be
  }
}

}  // namespace lookback
