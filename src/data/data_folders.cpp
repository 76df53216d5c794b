#include "data/data_folders.h"

#include <filesystem>

#include "core/error.h"

namespace lookback {

namespace fs = std::filesystem;

DataFolders find_data_folders(const std::string& folder) {
  require(fs::is_directory(folder), "{}: there is no such folder of prepared text; make one with `lookback prepare`",
          folder);
  const fs::path path(folder);
  if (fs::exists(path / "manifest.json") || !fs::is_directory(path / "train")) return {folder, ""};
  return {(path / "train").string(), fs::is_directory(path / "valid") ? (path / "valid").string() : ""};
}

}  // namespace lookback
