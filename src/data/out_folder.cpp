#include "data/out_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/manifest.h"
#include "data/prepare_journal.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

void clear_dataset(const fs::path& folder) {
  fs::remove(folder / manifest_name);
  fs::remove(folder / documents_name);
  for (std::size_t i = 0; fs::remove(folder / shard_name(i)); ++i) {
  }
  fs::remove_all(folder / dataset_tokenizer_name);
}

// Someone else's files may be in there; those stay.
void remove_empty(const fs::path& folder) {
  std::error_code ignored;
  fs::remove(folder, ignored);
}

void clear_prepared(const fs::path& folder) {
  for (const char* part : {train_folder_name, valid_folder_name}) {
    clear_dataset(folder / part);
    remove_empty(folder / part);
  }
  clear_dataset(folder);
  fs::remove(folder / skipped_log_name);
  fs::remove(folder / journal_name);
}

}  // namespace

OutFolder::OutFolder(const fs::path& path) : path_(path) {
  std::error_code error;
  fs::create_directories(path, error);
  require(!error && fs::is_directory(path), "cannot make the folder {}: {}", path.string(),
          error ? error.message() : "there is a file of that name");
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot open the folder {}: {}", path.string(), std::strerror(errno));
  std::string refusal;
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    refusal = "another lookback prepare is writing to it; wait for its end";
  } else if (!fs::exists(path / journal_name)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      // A kill during the very first journal leaves its temporary file.
      if (entry.path().filename().string().rfind(std::string(journal_name) + ".tmp", 0) == 0) continue;
      refusal = "it holds files that lookback prepare did not write (" + entry.path().filename().string() +
                "); give a new or empty folder";
    }
  }
  if (!refusal.empty()) {
    ::close(descriptor_);
    fail("{}: {}", path.string(), refusal);
  }
}

OutFolder::~OutFolder() { ::close(descriptor_); }

void OutFolder::clear() const {
  clear_corpora();
  clear_prepared(path_);
}

void OutFolder::clear_corpora() const {
  const fs::path corpora = path_ / corpora_folder_name;
  if (!fs::is_directory(corpora)) return;
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(corpora)) {
    if (entry.is_directory() && !entry.is_symlink()) folders.push_back(entry.path());
  }
  for (const fs::path& folder : folders) {
    clear_prepared(folder);
    remove_empty(folder);
  }
  remove_empty(corpora);
}

}  // namespace lookback
