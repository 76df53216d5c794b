#include "data/input_files.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

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

// The files below folders, each once.
class FolderWalk {
 public:
  explicit FolderWalk(InputFiles& inputs) : inputs_(inputs) {}

  void add(const fs::path& folder) {
    walk(folder);
    // What lies in the folder itself came first: it keeps its own name.
    while (!links_.empty()) {
      const std::vector<fs::path> links = std::exchange(links_, {});
      for (const fs::path& link : links) follow(link);
    }
    std::ranges::sort(found_, {}, &InputFile::path);
    inputs_.files.insert(inputs_.files.end(), found_.begin(), found_.end());
  }

 private:
  void walk(const fs::path& folder) {
    struct stat status{};
    if (::stat(folder.c_str(), &status) != 0) return leave_out(folder, std::strerror(errno));
    if (!folders_.emplace(status.st_dev, status.st_ino).second) return;
    std::error_code error;
    std::vector<fs::path> entries;
    for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      entries.push_back(entry->path());
    }
    if (error) leave_out(folder, error.message());
    std::sort(entries.begin(), entries.end());
    for (const fs::path& path : entries) {
      if (fs::is_symlink(fs::symlink_status(path, error))) {
        links_.push_back(path);
      } else if (fs::is_directory(path, error)) {
        walk(path);
      } else {
        add_file(path);
      }
    }
  }

  void follow(const fs::path& link) {
    std::error_code error;
    const fs::file_status status = fs::status(link, error);
    if (fs::is_directory(status)) return walk(link);
    if (fs::exists(status)) return add_file(link);
    leave_out(link, fmt::format("the link leads nowhere ({})", fs::read_symlink(link, error).string()));
  }

  void add_file(const fs::path& path) {
    const auto format = format_of(path);
    if (!format) {
      ++inputs_.num_unknown;
      return;
    }
    if (!fs::is_regular_file(path)) return leave_out(path, "is no regular file");
    if (::access(path.c_str(), R_OK) != 0) return leave_out(path, std::strerror(errno));
    InputFile file = describe(path, *format);
    if (files_.insert(file.identity).second) found_.push_back(std::move(file));
  }

  void leave_out(const fs::path& path, const std::string& reason) {
    inputs_.not_read.push_back(fmt::format("{}: {}", path.string(), reason));
  }

  InputFiles& inputs_;
  std::vector<InputFile> found_;
  std::vector<fs::path> links_;  // to be followed
  std::set<std::pair<dev_t, ino_t>> folders_;
  std::set<std::string> files_;  // by identity
};

}  // namespace

InputFiles find_input_files(const std::vector<fs::path>& inputs) {
  InputFiles found;
  try {
    for (const fs::path& input : inputs) {
      require(fs::exists(input), "{}: there is no such file or folder", input.string());
      if (fs::is_directory(input)) {
        FolderWalk(found).add(input);
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
          "({} other files were passed over{})",
          found.num_unknown, found.not_read.empty() ? "" : "; " + found.not_read.front());
  std::map<std::string, fs::path> seen;
  for (const InputFile& file : found.files) {
    const auto [first, is_new] = seen.emplace(file.identity, file.path);
    require(is_new, "{}: comes twice (also as {}); give it once", file.path.string(), first->second.string());
  }
  return found;
}

}  // namespace lookback
