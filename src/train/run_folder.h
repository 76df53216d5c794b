// A training run on disk. A kill at any moment leaves `last` pointing to a whole checkpoint:
//   checkpoints/step-00001000/   complete checkpoints, published by one rename
//   checkpoints/aside-step-*     later than the step from which the run was begun again
//   checkpoints/.*               unfinished or half-removed ones, cleared at the next start
//   last, best                   relative symbolic links, replaced by one rename
// Only one process may work in a run folder: it holds a lock on it for as long as the object lives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

namespace lookback {

// Where a run's checkpoint of `step` lies, whether or not it is there.
std::filesystem::path checkpoint_path(const std::filesystem::path& run, std::int64_t step);

class RunFolder {
 public:
  // Makes the folder where it is missing, and takes its lock. Throws Error when another process has it.
  explicit RunFolder(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // The checkpoint that `last` points to; nothing for a run that has saved none.
  std::optional<std::filesystem::path> last_checkpoint() const;

  // That of `step`. Throws Error naming the steps that have one when this has not.
  std::filesystem::path checkpoint(std::int64_t step) const;

  // Steps that have a checkpoint, in order.
  std::vector<std::int64_t> checkpoint_steps() const;
  bool has_checkpoints() const { return !checkpoint_steps().empty(); }

  // Points `last` to the checkpoint of `step` and renames later ones to checkpoints/aside-step-*, which no run reads
  // and nobody removes: for a run that goes on from before them.
  void set_aside(std::int64_t step);

  // Clears what a crash left: unfinished folders, and checkpoints after `last_step` that `last` never came to
  // point to. Puts `best` to best_step where there is such a checkpoint (0: none was best yet).
  void recover(std::int64_t last_step, std::int64_t best_step);

  // Publishes what `fill` writes into the empty folder it is given as the checkpoint of `step`, points `last` to it,
  // `best` to best_step's, and removes all but those two and the newest `keep`. A checkpoint of that step that is
  // there already stays as it is. Returns its path.
  std::filesystem::path save(std::int64_t step, std::int64_t best_step, std::int64_t keep,
                             const std::function<void(const std::filesystem::path&)>& fill);

 private:
  void point(const char* name, std::int64_t step) const;
  void remove_checkpoint(const std::filesystem::path& folder) const;

  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace lookback
