#include "report/example_report.h"

#include <cmath>

namespace lookback {
namespace {

DemoModelResult example_model(const std::string& name, bool learns) {
  DemoModelResult model{.name = name,
                        .folder = learns ? "runs/demo/drt" : "runs/demo/sliding-window",
                        .num_parameters = learns ? 197'504 : 181'000,
                        .training_seconds = learns ? 171.0 : 88.0,
                        .steps = {},
                        .stages = {},
                        .lengths = {}};
  for (int step = 1; step <= 800; ++step) {
    const double learned = learns ? 1 / (1 + std::exp(-(step - 250) / 25.0)) : 0;
    const double wobble = 0.15 * std::sin(step * 1.7) * std::sin(step * 0.31);
    model.steps.push_back({step, 1.2 + 5 * std::exp(-step / 60.0) + 2.2 * (1 - learned) + wobble,
                           std::min(1.0, std::max(0.0, learned + wobble * learned))});
  }
  if (learns) model.stages = {{281, "8 chunks, 2 needles"}, {340, "12, 4"}, {372, "16, 6"}};
  for (const std::int64_t length : {496, 1984, 7936, 31744, 126976, 507904}) {
    DemoLength result{.length_tokens = length, .num_samples = 20, .num_correct = learns ? 20 : 0};
    if (learns && length == 7936) result.num_correct = 19;
    result.low = learns ? 0.839 : 0;
    result.high = learns ? 1 : 0.161;
    result.recall = learns ? 1 : -1;
    model.lengths.push_back(result);
  }
  return model;
}

}  // namespace

DemoReport example_report() {
  DemoReport report;
  report.seed = 2;
  report.training_length = 496;
  report.drt = example_model("DRT", true);
  report.sliding_window = example_model("sliding window", false);
  report.depths = {.title = "DRT: right answers by length and depth",
                   .x_label = "tokens of context",
                   .y_label = "depth of the needle",
                   .x_ticks = {"496", "7,936", "126,976", "507,904"},
                   .y_ticks = {"0%", "25%", "50%", "75%", "100%"},
                   .values = {{1, 1, 1, 1}, {1, 0.9, 1, 1}, {1, 1, 0.7, NAN}, {0.35, 1, 1, 0}, {1, 1, 1, 1}},
                   .cell_texts = {}};
  report.sample.num_chunks = 16384;
  report.sample.chunk_size = 31;
  report.sample.question = "|What is key fox? It is";
  report.sample.expected = "48213";
  report.sample.answers = {{"DRT", "48213"}, {"sliding window", "1\x01\xff<b>"}};
  report.sample.retrieved = {{5077, 0.983, "e been |key fox is 48213|ut at ", 7, 25},
                             {9120, 0.011, "|key owl is 90210|ong time foot", 0, 0},
                             {12801, 0.004, "night us & them < |key tin is 1", 0, 0},
                             {402, 0.002, "page following into being studi", 0, 0}};
  report.total_seconds = 412;
  report.peak_memory_bytes = 1.1e9;
  report.settings = {{"DRT", "197,504 parameters: width 64, 4 heads"}, {"Optimizer", "AdamW, 800 steps"}};
  report.next_commands =
      "lookback generate --model runs/demo/drt --prompt \"|What is key fox? It is\" --max-new-tokens 8\n"
      "lookback eval needle --model runs/demo/drt --kind recipe";
  report.version = "0.1.0";
  return report;
}

}  // namespace lookback
