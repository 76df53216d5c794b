// The folder that `prepare` writes to: whether it may, and what of an earlier run goes.
#pragma once

#include <filesystem>

namespace lookback {

inline constexpr const char* skipped_log_name = "skipped.log";
inline constexpr const char* train_folder_name = "train";
inline constexpr const char* valid_folder_name = "valid";
inline constexpr const char* corpora_folder_name = "corpora";  // of a mixture, while it is made

// The folder, made where it is missing, for this process alone while the object lives.
class OutFolder {
 public:
  // Throws Error when it holds files that `prepare` did not write, or another process writes to it.
  explicit OutFolder(const std::filesystem::path& path);
  ~OutFolder();
  OutFolder(const OutFolder&) = delete;
  OutFolder& operator=(const OutFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Removes everything that `prepare` writes, the journal last.
  void clear() const;
  // Removes the folders of the single corpora of a mixture.
  void clear_corpora() const;

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace lookback
