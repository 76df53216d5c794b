// Which documents a memory holds already: `memory build` and `memory add` ask before they read one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/stop.h"
#include "data/input_files.h"
#include "memory/document_source.h"
#include "memory/memory_catalog.h"

namespace lookback {

// The content of a text file, decompressed. Reads it once, at about the speed of the disk; nothing when `stop` (may be
// empty), asked now and then, says so. Throws Error as open_byte_source does.
std::optional<ContentHash> hash_text_file(const std::filesystem::path& path, const StopToken& stop);
// The content of a line's document, by its tokens: all that a memory takes of it.
ContentHash hash_tokens(std::span<const std::int64_t> ids);

// A text that is to be read: content decides whether it is there, whatever its file's name and time; its name is what
// people call it by.
struct NewDocument {
  std::string name;           // the path as it was given, of a line with ":number" behind
  std::string name_by_path;   // the same with the path without links: for a second file of that name
  std::string source;         // memory/document_source.h
  std::string source_before;  // as lookback 0.1 wrote it, for its documents
};

class KnownDocuments {
 public:
  explicit KnownDocuments(const std::vector<MemoryDocument>& documents);

  enum class Answer {
    known,    // nothing is to be read
    goes_on,  // `document` is there in part
    replace,  // `document` is a part of what has changed since: to be removed; then it is new
    is_new,   // to be added as `name`
  };
  struct Found {
    Answer answer = Answer::is_new;
    MemoryDocument document;
    std::string name;
  };
  // Throws Error when a text of that file is there that is another: naming the file, and `memory`.
  Found find(const NewDocument& wanted, const std::string& memory) const;

  void add(const MemoryDocument& document);
  void remove(std::uint64_t document);

 private:
  std::optional<MemoryDocument> first(const std::map<std::string, std::uint64_t, std::less<>>& ids,
                                      std::string_view key) const;

  std::map<std::uint64_t, MemoryDocument> documents_;
  std::map<std::string, std::uint64_t, std::less<>> by_content_, by_name_;
};

}  // namespace lookback
