#include "cli/program_path.h"

#include <filesystem>
#include <system_error>

namespace lookback {

std::string program_path() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "lookback";
  const std::filesystem::path relative = std::filesystem::relative(program, error);
  if (error || relative.empty() || *relative.begin() == "..") return program.string();
  // A name alone would be looked for in PATH.
  return relative.has_parent_path() ? relative.string() : "./" + relative.string();
}

}  // namespace lookback
