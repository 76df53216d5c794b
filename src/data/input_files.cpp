#include "data/input_files.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/byte_source.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

std::optional<InputFormat> format_of(const fs::path& path, const InputRules& rules) {
  std::string extension = (is_compressed_name(path) ? path.stem() : path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  if (extension == ".txt" || extension == ".md") return InputFormat::text;
  if (extension == ".jsonl") return InputFormat::jsonl;
  if (std::ranges::find(rules.text_extensions, extension) != rules.text_extensions.end()) return InputFormat::text;
  return std::nullopt;
}

InputFile describe(const fs::path& path, InputFormat format) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) fail("cannot read {}: {}", path.string(), std::strerror(errno));
  require(S_ISREG(status.st_mode), "{}: is no regular file; write it to a file first", path.string());
  return {path,
          fs::canonical(path).string(),
          format,
          status.st_size,
          status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec,
          {}};
}

// The files below folders, each once.
class FolderWalk {
 public:
  FolderWalk(InputFiles& inputs, const InputRules& rules) : inputs_(inputs), rules_(rules) {}

  void add(const fs::path& folder) {
    walk(folder);
    // What lies in the folder itself came first: it keeps its own name.
    while (!links_.empty()) {
      const std::vector<fs::path> links = std::exchange(links_, {});
      for (const fs::path& link : links) follow(link);
    }
    std::ranges::sort(found_, {}, &InputFile::path);
    if (rules_.group_by_folder) group(folder);
    inputs_.files.insert(inputs_.files.end(), found_.begin(), found_.end());
  }

 private:
  // Joins what lies below one folder in `top`; in the order of the paths, these files follow each other.
  void group(const fs::path& top) {
    std::vector<InputFile> grouped;
    for (InputFile& file : found_) {
      const fs::path below = file.path.lexically_relative(top);
      if (below.begin() == std::prev(below.end())) {
        grouped.push_back(std::move(file));
        continue;
      }
      if (file.format != InputFormat::text) {
        ++inputs_.num_unknown;
        continue;
      }
      const fs::path path = top / *below.begin();
      if (grouped.empty() || grouped.back().path != path) {
        grouped.push_back({path, fs::canonical(path).string(), InputFormat::text, 0, 0, {}});
      }
      InputFile& folder = grouped.back();
      folder.size_bytes += file.size_bytes;
      folder.modified_ns = std::max(folder.modified_ns, file.modified_ns);
      folder.members.push_back(std::move(file));
    }
    found_ = std::move(grouped);
  }

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
    const auto format = format_of(path, rules_);
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
  const InputRules& rules_;
  std::vector<InputFile> found_;
  std::vector<fs::path> links_;  // to be followed
  std::set<std::pair<dev_t, ino_t>> folders_;
  std::set<std::string> files_;  // by identity
};

}  // namespace

InputFiles find_input_files(const std::vector<fs::path>& inputs, const InputRules& rules) {
  InputFiles found;
  try {
    for (const fs::path& input : inputs) {
      require(fs::exists(input), "{}: there is no such file or folder", input.string());
      if (fs::is_directory(input)) {
        FolderWalk(found, rules).add(input);
        continue;
      }
      const auto format = format_of(input, rules);
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
  const auto see = [&](const InputFile& file) {
    const auto [first, is_new] = seen.emplace(file.identity, file.path);
    require(is_new, "{}: comes twice (also as {}); give it once", file.path.string(), first->second.string());
  };
  for (const InputFile& file : found.files) {
    see(file);
    std::ranges::for_each(file.members, see);
  }
  return found;
}

}  // namespace lookback
