#include "fuzz/fuzz_input.h"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <stdexcept>

namespace lookback {
namespace {

namespace fs = std::filesystem;

fs::path new_folder_path() {
  static std::atomic<int> next{0};
  const fs::path memory_folder = "/dev/shm";
  const fs::path parent = ::access(memory_folder.c_str(), W_OK) == 0 ? memory_folder : fs::temp_directory_path();
  return parent / ("lookback-fuzz-" + std::to_string(::getpid()) + "-" + std::to_string(next++));
}

}  // namespace

std::vector<std::string_view> split_parts(std::string_view input, std::size_t count) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    const std::size_t end = input.find(part_separator);
    parts.push_back(input.substr(0, end));
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + part_separator.size());
  }
  parts.push_back(input);
  return parts;
}

FuzzFolder::FuzzFolder() : path_(new_folder_path()) { fs::create_directories(path_); }

FuzzFolder::~FuzzFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path FuzzFolder::write(const char* name, std::string_view content) const {
  const fs::path file = path_ / name;
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file.string());
  return file;
}

void FuzzFolder::clear() const {
  for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
}

}  // namespace lookback
