// A training run on disk. A kill at any moment leaves `last` pointing to a whole checkpoint:
//   checkpoints/step-00001000/   complete checkpoints, published by one rename
//   checkpoints/.*               unfinished or half-removed ones, cleared at the next start
//   last, best                   relative symbolic links, replaced by one rename
// Only one process may work in a run folder: it holds a lock on it for as long as the object lives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

namespace lookback {

class RunFolder {
 public:
  // Makes the folder where it is missing, and takes its lock. Throws Error when another process has it.
  explicit RunFolder(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // The checkpoint that `last` points to; nothing for a run that has saved none.
  std::optional<std::filesystem::path> last_checkpoint() const;

  // Whether any checkpoint is there.
  bool has_checkpoints() const;

  // Clears what a crash left: unfinished folders, and checkpoints after `last_step` that `last` never came to
  // point to. Puts `best` to best_step where there is such a checkpoint (0: none was best yet).
  void recover(std::int64_t last_step, std::int64_t best_step);

  // Publishes what `fill` writes into the empty folder it is given as the checkpoint of `step`, points `last` to it,
  // `best` to best_step's, and removes all but those two and the newest `keep`. A checkpoint of that step that is
  // there already stays as it is. Returns its path.
  std::filesystem::path save(std::int64_t step, std::int64_t best_step, std::int64_t keep,
                             const std::function<void(const std::filesystem::path&)>& fill);

 private:
  std::filesystem::path checkpoint_path(std::int64_t step) const;
  void point(const char* name, std::int64_t step) const;
  void remove_checkpoint(const std::filesystem::path& folder) const;

  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace lookback
