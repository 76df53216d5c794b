#include "data/input_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "core/error.h"
#include "data/byte_source.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

std::optional<InputFormat> format_of(const fs::path& path) {
  std::string extension = (is_compressed_name(path) ? path.stem() : path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  if (extension == ".txt" || extension == ".md") return InputFormat::text;
  if (extension == ".jsonl") return InputFormat::jsonl;
  return std::nullopt;
}

InputFile describe(const fs::path& path, InputFormat format) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) fail("cannot read {}: {}", path.string(), std::strerror(errno));
  require(S_ISREG(status.st_mode), "{}: is no regular file; write it to a file first", path.string());
  return {path, fs::canonical(path).string(), format, status.st_size,
          status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

void add_folder(const fs::path& folder, InputFiles& inputs) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) {
    if (const auto format = format_of(path)) {
      inputs.files.push_back(describe(path, *format));
    } else {
      ++inputs.num_unknown;
    }
  }
}

}  // namespace

InputFiles find_input_files(const std::vector<fs::path>& inputs) {
  InputFiles found;
  try {
    for (const fs::path& input : inputs) {
      require(fs::exists(input), "{}: there is no such file or folder", input.string());
      if (fs::is_directory(input)) {
        add_folder(input, found);
        continue;
      }
      const auto format = format_of(input);
      require(format.has_value(),
              "{}: expected a name that ends in .txt, .md or .jsonl, also with .zst or .gz "
              "behind",
              input.string());
      found.files.push_back(describe(input, *format));
    }
  } catch (const fs::filesystem_error& error) {
    fail("cannot list the inputs: {}", error.what());
  }
  require(!found.files.empty(),
          "no inputs: no .txt, .md or .jsonl file (also .zst, .gz) among what was given "
          "({} other files were passed over)",
          found.num_unknown);
  std::map<std::string, fs::path> seen;
  for (const InputFile& file : found.files) {
    const auto [first, is_new] = seen.emplace(file.identity, file.path);
    require(is_new, "{}: comes twice (also as {}); give it once", file.path.string(), first->second.string());
  }
  return found;
}

}  // namespace lookback
