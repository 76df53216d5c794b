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
  std::vector<InputFile> members;  // of a folder that is one document: its files, sorted by path; sizes are their sum
};

// What counts as an input beyond the names that always do.
struct InputRules {
  // Further endings of names of text files (".py"), in lower case.
  std::vector<std::string> text_extensions;
  // Each folder right below a folder that is given is one document of all text files in it (folder_source.h); files
  // that lie in the given folder itself stay documents of their own. Files of JSON lines in joined folders are passed
  // over.
  bool group_by_folder = false;
};

struct InputFiles {
  std::vector<InputFile> files;
  std::int64_t num_unknown = 0;  // files in folders whose names do not say that they are inputs
  std::vector<std::string>
      not_read;  // "PATH: reason": in folders, what could not be read (broken links, no permission)
};

// Files as they are given, folders recursively (their files sorted by path). Links in folders are followed; what they
// lead to is read once, by its own name where that lies in the folder, too.
// A name ends in .txt, .md (a document a file) or .jsonl (a document a line), or as `rules` say, each also with .zst or
// .gz behind.
// Throws Error for what does not exist, a file named explicitly whose format is unknown, a file that comes
// twice, or no file at all.
InputFiles find_input_files(const std::vector<std::filesystem::path>& inputs, const InputRules& rules = {});

}  // namespace lookback
