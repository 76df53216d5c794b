// The demo's report: what was measured, as plain values, and the page made of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "report/heatmap.h"
#include "report/line_chart.h"

namespace lookback {

struct DemoTrainingStep {
  std::int64_t step = 0;
  double loss = 0;
  double exact_match = 0;  // fraction of the batch's answers with every token right
};

// Answers at one context length.
struct DemoLength {
  std::int64_t length_tokens = 0;
  std::int64_t num_samples = 0;
  std::int64_t num_correct = 0;
  double low = 0;  // 95% Wilson interval of the fraction correct
  double high = 1;
  double recall = -1;  // fraction of samples whose needle was among the retrieved chunks; negative: retrieves nothing
  double seconds = 0;

  double accuracy() const { return static_cast<double>(num_correct) / static_cast<double>(num_samples); }
};

struct DemoModelResult {
  std::string name;
  std::string folder;  // run folder, as the user types it
  std::int64_t num_parameters = 0;
  double training_seconds = 0;
  std::vector<DemoTrainingStep> steps;
  std::vector<ChartMark> stages;    // the step at which each stage of the curriculum began
  std::vector<DemoLength> lengths;  // rising
};

struct DemoRetrievedChunk {
  std::int64_t chunk_index = 0;
  double weight = 0;
  std::string text;
  // The asked needle inside `text`, byte offsets; empty range: another chunk.
  std::size_t needle_begin = 0;
  std::size_t needle_end = 0;

  bool holds_needle() const { return needle_end > needle_begin; }
};

// What happened in one sample.
struct DemoSample {
  std::int64_t num_chunks = 0;
  std::int64_t chunk_size = 0;
  std::string question;
  std::string expected;
  std::vector<std::pair<std::string, std::string>> answers;  // model's name, its answer
  std::vector<DemoRetrievedChunk> retrieved;                 // weights falling
};

struct DemoReport {
  std::uint64_t seed = 0;
  std::int64_t training_length = 0;  // tokens of the longest sequence in training
  DemoModelResult drt;
  DemoModelResult sliding_window;
  Heatmap depths;
  DemoSample sample;
  double total_seconds = 0;
  double peak_memory_bytes = 0;
  std::vector<std::pair<std::string, std::string>> settings;
  std::string next_commands;
  std::string version;
};

// The DRT must be right this often at the longest context for the demo to have succeeded.
inline constexpr double demo_success_accuracy = 0.8;
bool demo_learned(const DemoReport& report);

// The accuracy table, for the page and for the terminal: a row a length, headers first.
std::vector<std::vector<std::string>> demo_accuracy_table(const DemoReport& report);

// Accuracy by length of both models, as a chart.
LineChart demo_accuracy_chart(const DemoReport& report);

// The whole page. Throws Error when a model has no results.
std::string demo_report_html(const DemoReport& report);

}  // namespace lookback
