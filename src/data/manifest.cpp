#include "data/manifest.h"

#include <fmt/core.h>
#include <xxhash.h>

#include "core/error.h"
#include "core/stored_text.h"

namespace lookback {
namespace {

constexpr const char* format_name = "lookback-tokens";
constexpr std::int64_t format_version = 1;
constexpr std::int64_t document_bytes = sizeof(DocumentRange);

Json file_to_json(const DatasetFile& file) {
  return {{"file", file.name}, {"size_bytes", file.size_bytes}, {"xxhash64", file.checksum}};
}

DatasetFile file_from_json(const Json& value, const std::string& source) {
  DatasetFile file;
  file.name = json_field<std::string>(value, "file", source);
  file.size_bytes = json_field<std::int64_t>(value, "size_bytes", source);
  file.checksum = json_field<std::string>(value, "xxhash64", source);
  require(!file.name.empty() && file.name.find('/') == std::string::npos && file.name[0] != '.',
          "{}: \"{}\" is no name of a file in the dataset's folder", source, file.name);
  require(file.size_bytes >= 0, "{}: {} has {} bytes", source, file.name, file.size_bytes);
  return file;
}

Json array_field(const Json& value, const std::string& key, const std::string& source) {
  Json array = json_field<Json>(value, key, source);
  require(array.is_array(), "{}: field \"{}\" is no array", source, key);
  return array;
}

Json mixture_to_json(const DatasetMixture& mixture) {
  Json corpora = Json::array();
  for (const MixtureEntry& entry : mixture.corpora) {
    corpora.push_back({{"name", entry.name},
                       {"weight", entry.weight},
                       {"num_documents", entry.num_documents},
                       {"num_tokens", entry.num_tokens},
                       {"mixed_documents", entry.mixed_documents},
                       {"mixed_tokens", entry.mixed_tokens}});
  }
  return {{"seed", mixture.seed}, {"corpora", corpora}};
}

DatasetMixture mixture_from_json(const Json& value, const std::string& source) {
  DatasetMixture mixture;
  mixture.seed = json_field<std::uint64_t>(value, "seed", source);
  for (const Json& entry : array_field(value, "corpora", source)) {
    mixture.corpora.push_back({json_field<std::string>(entry, "name", source),
                               json_field<double>(entry, "weight", source),
                               json_field<std::int64_t>(entry, "num_documents", source),
                               json_field<std::int64_t>(entry, "num_tokens", source),
                               json_field<std::int64_t>(entry, "mixed_documents", source),
                               json_field<std::int64_t>(entry, "mixed_tokens", source)});
  }
  return mixture;
}

void check_counts(const DatasetManifest& manifest, const std::string& source) {
  require(manifest.vocab_size >= 1 && manifest.num_tokens >= 1 && manifest.num_documents >= 1 &&
              manifest.text_bytes >= 0 && manifest.end_of_text_id >= 0 && manifest.end_of_text_id < manifest.vocab_size,
          "{}: the counts are impossible (vocabulary {}, end of text {}, tokens {}, documents {})", source,
          manifest.vocab_size, manifest.end_of_text_id, manifest.num_tokens, manifest.num_documents);
  require(manifest.element_bytes == 4 || manifest.vocab_size <= 65536,
          "{}: a vocabulary of {} ids does not fit into element type uint16", source, manifest.vocab_size);
  std::int64_t shard_bytes = 0;
  for (const DatasetFile& shard : manifest.shards) {
    require(shard.size_bytes >= 1 && shard.size_bytes % manifest.element_bytes == 0,
            "{}: shard {} has {} bytes, no whole number of tokens", source, shard.name, shard.size_bytes);
    shard_bytes += shard.size_bytes;
  }
  require(shard_bytes / manifest.element_bytes == manifest.num_tokens,
          "{}: {} tokens are promised but the shards hold {}", source, manifest.num_tokens,
          shard_bytes / manifest.element_bytes);
  require(manifest.documents.size_bytes / document_bytes == manifest.num_documents &&
              manifest.documents.size_bytes % document_bytes == 0,
          "{}: {} documents are promised but {} has {} bytes", source, manifest.num_documents, manifest.documents.name,
          manifest.documents.size_bytes);
}

}  // namespace

std::string shard_name(std::size_t index) { return fmt::format("tokens-{:05}.bin", index); }

std::int64_t element_bytes_for(std::int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

std::string checksum_of(std::span<const std::byte> bytes) {
  return fmt::format("{:016x}", XXH64(bytes.data(), bytes.size(), 0));
}

Json manifest_to_json(const DatasetManifest& manifest) {
  Json shards = Json::array();
  for (const DatasetFile& shard : manifest.shards) shards.push_back(file_to_json(shard));
  Json sources = Json::array();
  for (const DatasetSource& source : manifest.sources) {
    sources.push_back({{"path", stored_text(source.path)},
                       {"size_bytes", source.size_bytes},
                       {"num_documents", source.num_documents},
                       {"num_skipped", source.num_skipped}});
  }
  Json value = {{"format", format_name},
                {"format_version", format_version},
                {"tokenizer_fingerprint", manifest.tokenizer_fingerprint},
                {"vocab_size", manifest.vocab_size},
                {"end_of_text_id", manifest.end_of_text_id},
                {"element_type", manifest.element_bytes == 2 ? "uint16" : "uint32"},
                {"num_tokens", manifest.num_tokens},
                {"num_documents", manifest.num_documents},
                {"text_bytes", manifest.text_bytes},
                {"shards", shards},
                {"documents", file_to_json(manifest.documents)},
                {"sources", sources}};
  if (!manifest.mixture.corpora.empty()) value["mixture"] = mixture_to_json(manifest.mixture);
  return value;
}

DatasetManifest manifest_from_json(const Json& value, const std::string& source) {
  const auto format = json_field<std::string>(value, "format", source);
  require(format == format_name, "{}: format \"{}\", expected \"{}\"", source, format, format_name);
  const auto version = json_field<std::int64_t>(value, "format_version", source);
  require(version >= 1, "{}: format version {} does not exist", source, version);
  require(version <= format_version,
          "{}: format version {} is newer than this program reads ({}); use a newer lookback, or prepare the "
          "text again with this one",
          source, version, format_version);
  DatasetManifest manifest;
  manifest.tokenizer_fingerprint = json_field<std::string>(value, "tokenizer_fingerprint", source);
  manifest.vocab_size = json_field<std::int64_t>(value, "vocab_size", source);
  manifest.end_of_text_id = json_field<std::int64_t>(value, "end_of_text_id", source);
  const auto element_type = json_field<std::string>(value, "element_type", source);
  require(element_type == "uint16" || element_type == "uint32",
          "{}: element type \"{}\", expected \"uint16\" or \"uint32\"", source, element_type);
  manifest.element_bytes = element_type == "uint16" ? 2 : 4;
  manifest.num_tokens = json_field<std::int64_t>(value, "num_tokens", source);
  manifest.num_documents = json_field<std::int64_t>(value, "num_documents", source);
  manifest.text_bytes = json_field<std::int64_t>(value, "text_bytes", source);
  for (const Json& shard : array_field(value, "shards", source)) {
    manifest.shards.push_back(file_from_json(shard, source));
  }
  manifest.documents = file_from_json(json_field<Json>(value, "documents", source), source);
  for (const Json& entry : array_field(value, "sources", source)) {
    manifest.sources.push_back({bytes_of_stored_text(json_field<std::string>(entry, "path", source)),
                                json_field<std::int64_t>(entry, "size_bytes", source),
                                json_field<std::int64_t>(entry, "num_documents", source),
                                json_field<std::int64_t>(entry, "num_skipped", source)});
  }
  if (value.contains("mixture")) manifest.mixture = mixture_from_json(value.at("mixture"), source);
  check_counts(manifest, source);
  return manifest;
}

DatasetManifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / manifest_name;
  require(std::filesystem::is_directory(folder),
          "dataset {}: there is no such folder; make one with `lookback "
          "prepare`",
          folder.string());
  require(std::filesystem::exists(path),
          "dataset {}: there is no {}: the folder was not written by `lookback prepare`, or that is not finished "
          "(the same command again goes on)",
          folder.string(), manifest_name);
  return manifest_from_json(read_json_file(path), path.string());
}

}  // namespace lookback
