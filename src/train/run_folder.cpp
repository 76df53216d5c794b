#include "train/run_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>

#include "core/error.h"
#include "core/files.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr const char* checkpoints_name = "checkpoints";
constexpr const char* step_prefix = "step-";

std::string checkpoint_name(std::int64_t step) { return fmt::format("{}{:08}", step_prefix, step); }

// Complete checkpoints by step.
std::map<std::int64_t, fs::path> list_checkpoints(const fs::path& run) {
  std::map<std::int64_t, fs::path> found;
  if (!fs::exists(run / checkpoints_name)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(run / checkpoints_name)) {
    const std::string name = entry.path().filename().string();
    const std::string digits = name.starts_with(step_prefix) ? name.substr(std::strlen(step_prefix)) : "";
    const bool is_number =
        !digits.empty() && digits.size() <= 18 && digits.find_first_not_of("0123456789") == std::string::npos;
    if (is_number) found.emplace(std::stoll(digits), entry.path());
  }
  return found;
}

}  // namespace

fs::path checkpoint_path(const fs::path& run, std::int64_t step) {
  return run / checkpoints_name / checkpoint_name(step);
}

RunFolder::RunFolder(const fs::path& path) : path_(path) {
  std::error_code error;
  fs::create_directories(path / checkpoints_name, error);
  require(!error, "cannot make the run folder {}: {}", path.string(), error.message());
  lock_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail("cannot open the run folder {}: {}", path.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    ::close(lock_);
    if (code == EWOULDBLOCK) fail("{}: another process is training in this folder", path.string());
    fail("cannot lock the run folder {}: {}", path.string(), std::strerror(code));
  }
}

RunFolder::~RunFolder() { ::close(lock_); }

std::optional<fs::path> RunFolder::last_checkpoint() const {
  std::error_code error;
  const fs::path target = fs::read_symlink(path_ / "last", error);
  if (error) return std::nullopt;
  fs::path folder = path_ / target;
  require(fs::is_directory(folder), "{}: points to {}, which is not there", (path_ / "last").string(), target.string());
  return folder;
}

fs::path RunFolder::checkpoint(std::int64_t step) const {
  const fs::path folder = checkpoint_path(path_, step);
  require(fs::is_directory(folder), "{}: has no checkpoint of step {}; it has those of {}", path_.string(), step,
          fmt::join(checkpoint_steps(), ", "));
  return folder;
}

std::vector<std::int64_t> RunFolder::checkpoint_steps() const {
  std::vector<std::int64_t> steps;
  for (const auto& [step, folder] : list_checkpoints(path_)) steps.push_back(step);
  return steps;
}

void RunFolder::set_aside(std::int64_t step) {
  point("last", step);
  for (const auto& [other, folder] : list_checkpoints(path_)) {
    if (other <= step) continue;
    const fs::path aside = folder.parent_path() / ("aside-" + folder.filename().string());
    fs::remove_all(aside);
    fs::rename(folder, aside);
  }
  // The best may have been one of them; recover() gives it the one before.
  if (!fs::exists(path_ / "best")) fs::remove(path_ / "best");
}

void RunFolder::recover(std::int64_t last_step, std::int64_t best_step) {
  for (const fs::directory_entry& entry : fs::directory_iterator(path_ / checkpoints_name)) {
    if (entry.path().filename().string().starts_with(".")) fs::remove_all(entry.path());
  }
  // Temporary files of atomic writes, and links that were about to be renamed.
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".tmp") != std::string::npos && !entry.is_directory()) fs::remove(entry.path());
  }
  for (const auto& [step, folder] : list_checkpoints(path_)) {
    if (step > last_step) remove_checkpoint(folder);
  }
  if (best_step > 0 && fs::exists(checkpoint_path(path_, best_step))) point("best", best_step);
}

void RunFolder::point(const char* name, std::int64_t step) const {
  const fs::path target = fs::path(checkpoints_name) / checkpoint_name(step);
  const fs::path link = path_ / name;
  std::error_code error;
  if (fs::read_symlink(link, error) == target) return;
  const fs::path temporary = path_ / fmt::format("{}.tmp", name);
  fs::remove(temporary);
  fs::create_symlink(target, temporary);
  fs::rename(temporary, link);
  sync_path(path_);
}

void RunFolder::remove_checkpoint(const fs::path& folder) const {
  // A half-removed folder must not look like a checkpoint.
  const fs::path hidden = folder.parent_path() / (".removed-" + folder.filename().string());
  fs::remove_all(hidden);
  fs::rename(folder, hidden);
  fs::remove_all(hidden);
}

fs::path RunFolder::save(std::int64_t step, std::int64_t best_step, std::int64_t keep,
                         const std::function<void(const fs::path&)>& fill) {
  const fs::path target = checkpoint_path(path_, step);
  if (!fs::exists(target)) {
    const fs::path unfinished = target.parent_path() / (".unfinished-" + target.filename().string());
    try {
      fs::remove_all(unfinished);
      fs::create_directory(unfinished);
      fill(unfinished);
      publish_folder(unfinished, target);
    } catch (...) {
      std::error_code ignored;
      fs::remove_all(unfinished, ignored);
      throw;
    }
  }
  point("last", step);
  if (best_step > 0) point("best", best_step);
  auto checkpoints = list_checkpoints(path_);
  auto num_old = static_cast<std::int64_t>(checkpoints.size()) - keep;
  for (const auto& [other, folder] : checkpoints) {
    if (num_old-- <= 0) break;
    if (other != best_step && other != step) remove_checkpoint(folder);
  }
  return target;
}

}  // namespace lookback
