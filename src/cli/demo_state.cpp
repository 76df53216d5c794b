#include "cli/demo_state.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace lookback {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double own_peak_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

std::string cell_key(const std::string& model, std::int64_t num_chunks, std::size_t depth_index) {
  return fmt::format("{}/{}/{}", model, num_chunks, depth_index);
}

// Texts are bytes: kept as numbers, JSON strings must be UTF-8.
Json bytes_json(const std::string& text) {
  Json value = Json::array();
  for (const char c : text) value.push_back(static_cast<unsigned char>(c));
  return value;
}

std::string bytes_of(const Json& value, const std::string& key, const std::string& source) {
  const auto bytes = json_field<std::vector<unsigned char>>(value, key, source);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

DemoState::DemoState(const std::filesystem::path& folder, const Json& settings)
    : path_(folder / "demo.json"), start_seconds_(now_seconds()) {
  if (!std::filesystem::exists(path_)) {
    value_ = {{"settings", settings},
              {"training", Json::object()},
              {"cells", Json::object()},
              {"inspections", Json::object()}};
    return;
  }
  value_ = read_json_file(path_);
  const auto found = json_field<Json>(value_, "settings", path_.string());
  require(found == settings,
          "{}: holds a demo with other settings ({}), this one has {}; give another --out or remove it",
          folder.string(), dump_line(found), dump_line(settings));
  for (const char* part : {"training", "cells", "inspections"}) {
    require(json_field<Json>(value_, part, path_.string()).is_object(), "{}: \"{}\" is not an object", path_.string(),
            part);
  }
  earlier_seconds_ = json_field_or<double>(value_, "total_seconds", 0, path_.string());
  earlier_peak_bytes_ = json_field_or<double>(value_, "peak_memory_bytes", 0, path_.string());
}

DemoTraining DemoState::training(const std::string& model) const {
  const Json& all = value_.at("training");
  if (!all.contains(model)) return {};
  const Json& stored = all.at(model);
  const std::string source = path_.string();
  return {json_field<bool>(stored, "finished", source), json_field<double>(stored, "seconds", source),
          json_field<std::vector<std::int64_t>>(stored, "stage_starts", source)};
}

void DemoState::set_training(const std::string& model, const DemoTraining& training) {
  value_["training"][model] = {
      {"finished", training.finished}, {"seconds", training.seconds}, {"stage_starts", training.stage_starts}};
  save();
}

std::optional<DemoState::Measured> DemoState::cell(const std::string& model, std::int64_t num_chunks,
                                                   std::size_t depth_index) const {
  const std::string key = cell_key(model, num_chunks, depth_index);
  if (!value_.at("cells").contains(key)) return std::nullopt;
  const Json& stored = value_.at("cells").at(key);
  const std::string source = path_.string();
  Measured measured;
  measured.cell.num_samples = json_field<std::int64_t>(stored, "samples", source);
  measured.cell.num_correct = json_field<std::int64_t>(stored, "correct", source);
  measured.cell.num_recalled = json_field<std::int64_t>(stored, "recalled", source);
  measured.cell.retrieves = json_field<bool>(stored, "retrieves", source);
  measured.seconds = json_field<double>(stored, "seconds", source);
  require(measured.cell.num_samples > 0, "{}: cell {} has no samples", source, key);
  return measured;
}

void DemoState::set_cell(const std::string& model, std::int64_t num_chunks, std::size_t depth_index,
                         const Measured& measured) {
  value_["cells"][cell_key(model, num_chunks, depth_index)] = {{"samples", measured.cell.num_samples},
                                                               {"correct", measured.cell.num_correct},
                                                               {"recalled", measured.cell.num_recalled},
                                                               {"retrieves", measured.cell.retrieves},
                                                               {"seconds", measured.seconds}};
  save();
}

std::optional<DemoInspection> DemoState::inspection(const std::string& model) const {
  if (!value_.at("inspections").contains(model)) return std::nullopt;
  const Json& stored = value_.at("inspections").at(model);
  const std::string source = path_.string();
  DemoInspection inspection;
  inspection.num_chunks = json_field<std::int64_t>(stored, "num_chunks", source);
  inspection.question = bytes_of(stored, "question", source);
  inspection.needle = bytes_of(stored, "needle", source);
  inspection.expected = bytes_of(stored, "expected", source);
  inspection.answer = bytes_of(stored, "answer", source);
  for (const Json& chunk : json_field<std::vector<Json>>(stored, "retrieved", source)) {
    inspection.retrieved.push_back({json_field<std::int64_t>(chunk, "chunk", source),
                                    json_field<double>(chunk, "weight", source), bytes_of(chunk, "text", source),
                                    json_field<bool>(chunk, "holds_needle", source)});
  }
  return inspection;
}

void DemoState::set_inspection(const std::string& model, const DemoInspection& inspection) {
  Json retrieved = Json::array();
  for (const DemoRetrieved& chunk : inspection.retrieved) {
    retrieved.push_back({{"chunk", chunk.chunk_index},
                         {"weight", chunk.weight},
                         {"text", bytes_json(chunk.text)},
                         {"holds_needle", chunk.holds_needle}});
  }
  value_["inspections"][model] = {
      {"num_chunks", inspection.num_chunks},     {"question", bytes_json(inspection.question)},
      {"needle", bytes_json(inspection.needle)}, {"expected", bytes_json(inspection.expected)},
      {"answer", bytes_json(inspection.answer)}, {"retrieved", retrieved}};
  save();
}

double DemoState::total_seconds() const { return earlier_seconds_ + now_seconds() - start_seconds_; }

double DemoState::peak_memory_bytes() const { return std::max(earlier_peak_bytes_, own_peak_bytes()); }

void DemoState::save() {
  value_["total_seconds"] = total_seconds();
  value_["peak_memory_bytes"] = peak_memory_bytes();
  write_json_file(path_, value_);
}

}  // namespace lookback
