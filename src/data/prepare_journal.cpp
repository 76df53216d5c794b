#include "data/prepare_journal.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/stored_text.h"
#include "data/manifest.h"

namespace lookback {
namespace {

constexpr const char* format_name = "lookback-prepare";
constexpr std::int64_t format_version = 1;

Json to_json(const PrepareJournal& journal) {
  Json datasets = Json::array();
  for (const DatasetCounts& counts : journal.datasets) {
    datasets.push_back({counts.num_tokens, counts.num_documents, counts.text_bytes});
  }
  Json sources = Json::array();
  for (const SourceCounts& counts : journal.sources) sources.push_back({counts.num_documents, counts.num_skipped});
  const InputPosition& position = journal.position;
  const OpenDocument& document = journal.document;
  return {{"format", format_name},
          {"format_version", format_version},
          {"finished", journal.finished},
          {"identity", journal.identity},
          {"position", {{"input", position.input}, {"offset", position.offset}, {"line", position.line}}},
          {"document",
           {{"open", document.open},
            {"skipping", document.skipping},
            {"dataset", document.dataset},
            {"begin", document.begin},
            {"text_bytes", document.text_bytes}}},
          {"datasets", datasets},
          {"sources", sources},
          {"skipped_log_bytes", journal.skipped_log_bytes}};
}

PrepareJournal from_json(const Json& value, const std::string& source) {
  const auto format = json_field<std::string>(value, "format", source);
  const auto version = json_field<std::int64_t>(value, "format_version", source);
  require(format == format_name, "{}: format \"{}\", expected \"{}\"", source, format, format_name);
  require(version <= format_version,
          "{}: format version {} is newer than this program reads ({}); use a newer "
          "lookback, or start again (force)",
          source, version, format_version);
  PrepareJournal journal;
  journal.finished = json_field<bool>(value, "finished", source);
  journal.identity = json_field<Json>(value, "identity", source);
  const Json position = json_field<Json>(value, "position", source);
  journal.position = {json_field<std::int64_t>(position, "input", source),
                      json_field<std::int64_t>(position, "offset", source),
                      json_field<std::int64_t>(position, "line", source)};
  const Json document = json_field<Json>(value, "document", source);
  journal.document = {json_field<bool>(document, "open", source), json_field<bool>(document, "skipping", source),
                      json_field<std::int64_t>(document, "dataset", source),
                      json_field<std::int64_t>(document, "begin", source),
                      json_field<std::int64_t>(document, "text_bytes", source)};
  using Triples = std::vector<std::array<std::int64_t, 3>>;
  using Pairs = std::vector<std::array<std::int64_t, 2>>;
  for (const auto& [tokens, documents, bytes] : json_field<Triples>(value, "datasets", source)) {
    journal.datasets.push_back({tokens, documents, bytes});
  }
  for (const auto& [documents, skipped] : json_field<Pairs>(value, "sources", source)) {
    journal.sources.push_back({documents, skipped});
  }
  journal.skipped_log_bytes = json_field<std::int64_t>(value, "skipped_log_bytes", source);
  return journal;
}

// One number for the paths, sizes and times of a joined folder's files, which may be very many.
std::string members_checksum(const InputFile& folder) {
  std::string listed;
  for (const InputFile& file : folder.members) {
    listed += fmt::format("{}\n{} {}\n", file.identity, file.size_bytes, file.modified_ns);
  }
  return checksum_of(std::as_bytes(std::span(listed.data(), listed.size())));
}

// Whether a run ended before it had kept a document: its folder is as good as empty.
bool holds_nothing(const PrepareJournal& journal, const OutFolder& folder) {
  return std::ranges::all_of(journal.datasets, [](const DatasetCounts& counts) { return counts.num_tokens == 0; }) &&
         !std::filesystem::exists(folder.path() / corpora_folder_name);
}

}  // namespace

std::optional<PrepareJournal> read_journal(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / journal_name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return from_json(read_json_file(path), path.string());
}

void write_journal(const std::filesystem::path& folder, const PrepareJournal& journal) {
  write_json_file(folder / journal_name, to_json(journal));
}

PrepareJournal open_journal(const OutFolder& folder, Json identity, std::size_t num_datasets, std::size_t num_sources) {
  const std::string out = folder.path().string();
  if (auto journal = read_journal(folder.path())) {
    const std::string difference = identity_difference(journal->identity, identity);
    if (!difference.empty() && holds_nothing(*journal, folder)) {
      folder.clear();
      return open_journal(folder, std::move(identity), num_datasets, num_sources);
    }
    require(difference.empty(), "{}: holds {} of another command ({}); give another folder, or throw that away (force)",
            out, journal->finished ? "the finished result" : "the unfinished work", difference);
    require(journal->datasets.size() == num_datasets && journal->sources.size() == num_sources,
            "{}: is damaged; start again (force)", (folder.path() / journal_name).string());
    return std::move(*journal);
  }
  PrepareJournal journal;
  journal.identity = std::move(identity);
  journal.datasets.resize(num_datasets);
  journal.sources.resize(num_sources);
  write_journal(folder.path(), journal);
  return journal;
}

Json inputs_identity(const std::vector<InputFile>& files) {
  Json inputs = Json::array();
  for (const InputFile& file : files) {
    Json entry = {
        {"path", stored_text(file.identity)}, {"size_bytes", file.size_bytes}, {"modified_ns", file.modified_ns}};
    if (!file.members.empty()) entry["members"] = members_checksum(file);
    inputs.push_back(std::move(entry));
  }
  return inputs;
}

std::string identity_difference(const Json& before, const Json& now) {
  if (before == now) return "";
  for (const auto& [key, value] : now.items()) {
    if (key == "inputs") continue;
    if (!before.contains(key)) return fmt::format("{} was not recorded", key);
    if (before.at(key) != value)
      return fmt::format("{} was {}, now {}", key, dump_line(before.at(key)), dump_line(value));
  }
  const Json none = Json::array();
  const Json& inputs_before = before.contains("inputs") ? before.at("inputs") : none;
  const Json& inputs_now = now.at("inputs");
  if (inputs_before.size() != inputs_now.size()) {
    return fmt::format("there were {} input files, now {}", inputs_before.size(), inputs_now.size());
  }
  for (std::size_t i = 0; i < inputs_now.size(); ++i) {
    if (inputs_before[i] == inputs_now[i]) continue;
    return fmt::format("input {} was {}, now {}", i + 1, dump_line(inputs_before[i]), dump_line(inputs_now[i]));
  }
  return "the record of it is another";
}

}  // namespace lookback
