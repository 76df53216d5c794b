// Which files `prepare` reads, in which order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lookback {

enum class InputFormat { text, jsonl };

struct InputFile {
  std::filesystem::path path;  // as given, or below a folder that was given
  std::string identity;        // absolute path without links
  InputFormat format = InputFormat::text;
  std::int64_t size_bytes = 0;
  std::int64_t modified_ns = 0;
};

struct InputFiles {
  std::vector<InputFile> files;
  std::int64_t num_unknown = 0;  // files in folders whose names say neither text nor JSON lines
  std::vector<std::string>
      not_read;  // "PATH: reason": in folders, what could not be read (broken links, no permission)
};

// Files as they are given, folders recursively (their files sorted by path). Links in folders are followed; what they
// lead to is read once, by its own name where that lies in the folder, too.
// A name ends in .txt, .md (a document a file) or .jsonl (a document a line), each also with .zst or .gz behind.
// Throws Error for what does not exist, a file named explicitly whose format is unknown, a file that comes
// twice, or no file at all.
InputFiles find_input_files(const std::vector<std::filesystem::path>& inputs);

}  // namespace lookback
