#include "data/dataset_folder.h"

#include <fmt/core.h>
#include <stdlib.h>

#include <fstream>
#include <stdexcept>

#include "core/json.h"
#include "data/manifest.h"

namespace lookback {
namespace {

void append_little_endian(std::string& bytes, std::int64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<char>((value >> (8 * i)) & 255));
}

Json file_entry(const std::string& name, const std::string& bytes) {
  return {{"file", name},
          {"size_bytes", bytes.size()},
          {"xxhash64", checksum_of(std::as_bytes(std::span(bytes.data(), bytes.size())))}};
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "lookback-data-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_bytes(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

void write_dataset(const std::filesystem::path& folder, const std::vector<std::vector<std::int64_t>>& documents,
                   std::int64_t vocab_size, std::size_t shard_tokens) {
  std::vector<std::int64_t> stream;
  std::string index;
  for (const auto& document : documents) {
    append_little_endian(index, static_cast<std::int64_t>(stream.size()), 8);
    stream.insert(stream.end(), document.begin(), document.end());
    append_little_endian(index, static_cast<std::int64_t>(stream.size()), 8);
    append_little_endian(index, static_cast<std::int64_t>(document.size()), 8);
    stream.push_back(256);
  }
  const int size = vocab_size <= 65536 ? 2 : 4;
  Json shards = Json::array();
  for (std::size_t begin = 0; begin < stream.size(); begin += shard_tokens) {
    std::string bytes;
    for (std::size_t i = begin; i < std::min(begin + shard_tokens, stream.size()); ++i) {
      append_little_endian(bytes, stream[i], size);
    }
    const std::string name = fmt::format("tokens-{:05}.bin", shards.size());
    write_bytes(folder / name, bytes);
    shards.push_back(file_entry(name, bytes));
  }
  write_bytes(folder / "documents.bin", index);
  const Json manifest = {{"format", "lookback-tokens"},
                         {"format_version", 1},
                         {"tokenizer_fingerprint", "0000000000000101"},
                         {"vocab_size", vocab_size},
                         {"end_of_text_id", 256},
                         {"element_type", size == 2 ? "uint16" : "uint32"},
                         {"num_tokens", stream.size()},
                         {"num_documents", documents.size()},
                         {"text_bytes", stream.size() - documents.size()},
                         {"shards", shards},
                         {"documents", file_entry("documents.bin", index)},
                         {"sources", Json::array()}};
  write_bytes(folder / "manifest.json", manifest.dump(2));
}

}  // namespace lookback
