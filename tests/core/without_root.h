// Tests of what may not be read or written, also where they are run by root, who may do everything.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace lookback {

// While it lives, root is a user without rights to whom `folder` belongs, and all that lies in it. For anybody else it
// does nothing.
class WithoutRoot {
 public:
  explicit WithoutRoot(const std::filesystem::path& folder) : was_root_(::geteuid() == 0) {
    if (!was_root_) return;
    give_away(folder);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) give_away(entry.path());
    require(::setresuid(nobody, nobody, 0) == 0, "setresuid");
  }
  ~WithoutRoot() {
    if (was_root_ && ::setresuid(0, 0, 0) != 0) std::abort();
  }
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;

 private:
  static constexpr uid_t nobody = 65534;

  static void give_away(const std::filesystem::path& path) {
    require(::lchown(path.c_str(), nobody, static_cast<gid_t>(-1)) == 0, "{}: chown", path.string());
  }

  bool was_root_;
};

}  // namespace lookback
