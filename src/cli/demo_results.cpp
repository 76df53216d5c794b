#include "cli/demo_results.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>

#include "cli/program_path.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/progress.h"
#include "core/units.h"
#include "eval/wilson.h"
#include "lookback/version.h"
#include "models/drt/drt_config.h"
#include "models/model_folder.h"

namespace lookback {
namespace {

constexpr const char* drt_name = "DRT";
constexpr const char* sliding_window_name = "sliding window";

// The curves of a run, from its metrics.jsonl.
std::vector<DemoTrainingStep> read_steps(const std::filesystem::path& metrics) {
  std::vector<DemoTrainingStep> steps;
  visit_json_lines(read_file(metrics), metrics.string(), [&](const Json& step, const std::string& source) {
    steps.push_back({json_field<std::int64_t>(step, "step", source), json_field<double>(step, "loss", source),
                     json_field_or<double>(step, "exact_match", NAN, source)});
  });
  return steps;
}

DemoModelResult model_result(const DemoState& state, const DemoPlan& plan, const std::filesystem::path& out,
                             const char* folder, const char* name) {
  DemoModelResult result;
  result.name = name;
  result.folder = (out / folder).string();
  result.num_parameters = load_model(out / folder, at::kCPU)->parameters().num_elements();
  const DemoTraining training = state.training(folder);
  result.training_seconds = training.seconds;
  for (std::size_t stage = 1; stage < training.stage_starts.size(); ++stage) {
    const NeedleStage& shape = plan.curriculum.stages[stage];
    result.stages.push_back({static_cast<double>(training.stage_starts[stage]),
                             fmt::format("{} chunks, {} needles", shape.num_chunks, shape.num_needles)});
  }
  result.steps = read_steps(out / folder / "metrics.jsonl");
  for (const DemoLengthPlan& length : plan.lengths)
    result.lengths.push_back(demo_length_result(state, plan, length, folder));
  return result;
}

Heatmap depth_map(const DemoState& state, const DemoPlan& plan) {
  Heatmap heatmap{.title = "Exact match of the DRT",
                  .x_label = "tokens of context",
                  .y_label = "depth of the needle",
                  .x_ticks = {},
                  .y_ticks = {},
                  .values = {},
                  .cell_texts = {}};
  for (const DemoLengthPlan& length : plan.lengths) {
    heatmap.x_ticks.push_back(group_digits(length.num_chunks * plan.drt.chunk_size));
  }
  for (std::size_t depth = 0; depth < plan.depths.size(); ++depth) {
    heatmap.y_ticks.push_back(percent_text(plan.depths[depth]));
    heatmap.values.emplace_back();
    heatmap.cell_texts.emplace_back();
    for (const DemoLengthPlan& length : plan.lengths) {
      const DemoCell cell = state.cell(demo_drt, length.num_chunks, depth).value().cell;
      heatmap.values.back().push_back(static_cast<double>(cell.num_correct) / static_cast<double>(cell.num_samples));
      heatmap.cell_texts.back().push_back(fmt::format("{}/{}", cell.num_correct, cell.num_samples));
    }
  }
  return heatmap;
}

DemoSample sample_of(const DemoState& state, const DemoPlan& plan) {
  const DemoInspection seen = state.inspection(demo_drt).value();
  DemoSample sample;
  sample.num_chunks = seen.num_chunks;
  sample.chunk_size = plan.drt.chunk_size;
  sample.question = seen.question;
  sample.expected = seen.expected;
  sample.answers = {{drt_name, seen.answer},
                    {sliding_window_name, state.inspection(demo_sliding_window).value().answer}};
  for (const DemoRetrieved& chunk : seen.retrieved) {
    DemoRetrievedChunk card{chunk.chunk_index, chunk.weight, chunk.text, 0, 0};
    const std::size_t begin = chunk.text.find(seen.needle);
    if (chunk.holds_needle && begin != std::string::npos) {
      card.needle_begin = begin;
      card.needle_end = begin + seen.needle.size();
    }
    sample.retrieved.push_back(card);
  }
  return sample;
}

std::vector<std::pair<std::string, std::string>> settings_of(const DemoReport& report, const DemoPlan& plan) {
  const ModelConfig& drt = plan.drt;
  const auto& layers = plan.drt.own<DrtConfig>();
  return {{"DRT", fmt::format("{} parameters: {} lower layers, {} encoder layer, {} upper layer; width {}, {} heads",
                              group_digits(report.drt.num_parameters), layers.decoder_layers[0],
                              layers.num_encoder_layers, layers.decoder_layers[1], drt.hidden_size, drt.num_heads)},
          {"Memory of the DRT",
           fmt::format("chunks of {} tokens, the {} best read for each new chunk", drt.chunk_size, drt.top_k)},
          {"Sliding window",
           fmt::format("{} parameters: {} layers of the same width", group_digits(report.sliding_window.num_parameters),
                       plan.sliding_window.num_layers)},
          {"Attention window of both", fmt::format("{} positions", drt.window_size + 1)},
          {"Tokens", "bytes"},
          {"Training", fmt::format("{} steps of about 3,000 tokens, AdamW, learning rate {:g} to {:g}, float32",
                                   plan.train.steps, plan.train.lr, plan.train.min_lr)},
          {"Training time", fmt::format("DRT {}, sliding window {}", format_duration(report.drt.training_seconds),
                                        format_duration(report.sliding_window.training_seconds))},
          {"Machine", fmt::format("CPU of {} cores, training on one", std::thread::hardware_concurrency())}};
}

}  // namespace

DemoLength demo_length_result(const DemoState& state, const DemoPlan& plan, const DemoLengthPlan& length,
                              const char* model) {
  DemoLength result;
  result.length_tokens = length.num_chunks * plan.drt.chunk_size;
  std::int64_t num_recalled = 0;
  bool retrieves = false;
  for (std::size_t depth = 0; depth < plan.depths.size(); ++depth) {
    const auto measured = state.cell(model, length.num_chunks, depth);
    if (!measured) continue;
    result.num_samples += measured->cell.num_samples;
    result.num_correct += measured->cell.num_correct;
    result.seconds += measured->seconds;
    num_recalled += measured->cell.num_recalled;
    retrieves = measured->cell.retrieves;
  }
  const Interval interval = wilson_interval(result.num_correct, result.num_samples);
  result.low = interval.low;
  result.high = interval.high;
  if (retrieves) result.recall = static_cast<double>(num_recalled) / static_cast<double>(result.num_samples);
  return result;
}

DemoReport make_demo_report(const DemoState& state, const DemoPlan& plan, const Tokenizer& tokenizer,
                            const std::filesystem::path& folder, std::uint64_t seed) {
  const std::filesystem::path prompt = folder / "example-prompt.txt";
  write_file_atomic(prompt, demo_example_prompt(tokenizer, plan, seed));

  DemoReport report;
  report.seed = seed;
  report.training_length = plan.lengths.front().num_chunks * plan.drt.chunk_size;
  report.drt = model_result(state, plan, folder, demo_drt, drt_name);
  report.sliding_window = model_result(state, plan, folder, demo_sliding_window, sliding_window_name);
  report.depths = depth_map(state, plan);
  report.sample = sample_of(state, plan);
  report.total_seconds = state.total_seconds();
  report.peak_memory_bytes = state.peak_memory_bytes();
  report.settings = settings_of(report, plan);
  report.next_commands = fmt::format(
      "{2} generate --model {0} --prompt-file {1} --max-new-tokens 6 --greedy\n"
      "{2} eval needle --model {0} --task recipe --lengths 1K,16K --depths 0,50,100\n"
      "{2} score --model {0} --text {1} --json",
      report.drt.folder, prompt.string(), program_path());
  report.version = version;
  return report;
}

}  // namespace lookback
