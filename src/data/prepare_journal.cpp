#include "data/prepare_journal.h"

#include <fmt/core.h>

#include <array>

#include "core/error.h"

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

}  // namespace

std::optional<PrepareJournal> read_journal(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / journal_name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return from_json(read_json_file(path), path.string());
}

void write_journal(const std::filesystem::path& folder, const PrepareJournal& journal) {
  write_json_file(folder / journal_name, to_json(journal));
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
