#include "cli/demo_run.h"

#include <cmath>
#include <memory>
#include <string>

#include <ATen/Parallel.h>

#include "cli/demo_state.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/version.h"
#include "data/needle_curriculum.h"
#include "eval/demo_evaluation.h"
#include "eval/demo_plan.h"
#include "eval/wilson.h"
#include "models/model_folder.h"
#include "report/units.h"
#include "text/tokenizer.h"
#include "train/trainer.h"
#include "train/training_step.h"

namespace lookback {
namespace {

// Folders of the two runs below --out, also their names in demo.json.
constexpr const char* drt_folder = "drt";
constexpr const char* sliding_window_folder = "sliding-window";
constexpr std::int64_t validation_batches = 4;

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        tokenizer_(load_tokenizer("bytes")),
        plan_(make_demo_plan(tokenizer_->vocab_size(), options.seed, options.steps, options.quick)),
        state_(prepare_folder(options.out), {{"seed", options.seed},
                                             {"steps", options.steps},
                                             {"quick", options.quick},
                                             {"tokenizer", tokenizer_->fingerprint()}}) {}

  std::optional<DemoReport> run() {
    if (!train_model(1, drt_folder, "DRT", plan_.drt)) return std::nullopt;
    // The second model reads exactly the batches of the first, stage by stage.
    plan_.curriculum.scheduled_starts = state_.training(drt_folder).stage_starts;
    if (!train_model(2, sliding_window_folder, "sliding window", plan_.sliding_window)) return std::nullopt;
    if (!ask(3, drt_folder, "DRT") || !ask(4, sliding_window_folder, "sliding window")) return std::nullopt;
    state_.save();
    return report();
  }

 private:
  static const std::filesystem::path& prepare_folder(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    return folder;
  }

  static void announce(int part, const std::string& text) { fmt::print(stderr, "[{}/4] {}\n", part, text); }

  // Whether it is finished now (else: interrupted).
  bool train_model(int part, const char* folder, const char* name, const ModelConfig& config) {
    DemoTraining training = state_.training(folder);
    if (training.finished) {
      announce(part, fmt::format("{} is trained already ({})", name, format_duration(training.seconds)));
      return true;
    }
    const std::unique_ptr<Model> model = make_model(config, at::kCPU, options_.seed);
    announce(part, fmt::format("training {}: {} parameters, {} steps", name,
                               group_digits(model->parameters().num_elements()), plan_.train.steps));
    NeedleCurriculum curriculum(plan_.curriculum);
    TrainIo io;
    io.run_folder = options_.out / folder;
    io.resume = true;
    io.tokenizer = tokenizer_.get();
    io.validate = [&] { return validate(*model); };
    const TrainResult result = train(*model, curriculum, plan_.train, io);
    training.seconds += result.seconds;
    training.finished = !result.interrupted;
    training.stage_starts = curriculum.stage_starts();
    state_.set_training(folder, training);
    if (training.finished) {
      fmt::print(stderr, "      {} in {}, loss {:.3f}, answers' loss on unseen texts {:.3f}\n", name,
                 format_duration(training.seconds), result.loss, result.best_loss);
    }
    return training.finished;
  }

  // Mean loss of the answers' digits on texts of the last stage that training never sees.
  ValidationResult validate(Model& model) const {
    NeedleCurriculumConfig config = plan_.curriculum;
    config.seed = ~config.seed;
    config.stages = {config.stages.back()};
    config.scheduled_starts.clear();
    NeedleCurriculum unseen(config);
    LossSum sum;
    for (std::int64_t i = 0; i < validation_batches; ++i) {
      TokenBatch batch = unseen.next();
      std::vector<std::int64_t> labels(batch.labels.size(), ignored_label);
      for (const std::int64_t position : batch.answer_positions) {
        labels[static_cast<std::size_t>(position)] = batch.labels[static_cast<std::size_t>(position)];
      }
      batch.labels = std::move(labels);
      const LossSum part = evaluate_batch(model, batch, at::kFloat);
      sum.sum += part.sum;
      sum.num_labels += part.num_labels;
    }
    return {sum.sum / static_cast<double>(sum.num_labels), sum.num_labels};
  }

  // Measures every cell that is not measured yet, shortest contexts first. Whether it is finished now.
  bool ask(int part, const char* folder, const char* name) {
    announce(part, fmt::format("asking {}", name));
    const std::unique_ptr<Model> model = load_model(options_.out / folder, at::kCPU);
    ProgressLine line;
    for (const DemoLengthPlan& length : plan_.lengths) {
      const std::int64_t tokens = length.num_chunks * plan_.drt.chunk_size;
      for (std::size_t depth = 0; depth < plan_.depths.size(); ++depth) {
        if (interrupted()) return false;
        if (state_.cell(folder, length.num_chunks, depth)) continue;
        const auto proceed = [&] {
          line.show(fmt::format("{} tokens of context, needle at {}, {} samples", group_digits(tokens),
                                percent_text(plan_.depths[depth]), length.samples_per_depth));
          return !interrupted();
        };
        const ProgressLine clock(true);
        try {
          const DemoCell cell = evaluate_demo_cell(*model, plan_, length, depth, options_.seed, proceed);
          state_.set_cell(folder, length.num_chunks, depth, {cell, clock.elapsed_seconds()});
        } catch (const Error&) {
          if (interrupted()) return false;
          throw;
        }
      }
      const DemoLength result = length_result(folder, length);
      line.finish(fmt::format("      {:>7} tokens  {:>5} right of {} ({})", group_digits(tokens),
                              percent_text(result.accuracy()), result.num_samples,
                              format_duration(result.seconds)));
    }
    if (!state_.inspection(folder)) {
      try {
        state_.set_inspection(
            folder, inspect_demo_sample(*model, plan_, options_.seed, [] { return !interrupted(); }));
      } catch (const Error&) {
        if (interrupted()) return false;
        throw;
      }
    }
    return true;
  }

  DemoLength length_result(const char* folder, const DemoLengthPlan& plan) const {
    DemoLength result;
    result.length_tokens = plan.num_chunks * plan_.drt.chunk_size;
    std::int64_t num_recalled = 0;
    bool retrieves = false;
    for (std::size_t depth = 0; depth < plan_.depths.size(); ++depth) {
      const auto measured = state_.cell(folder, plan.num_chunks, depth);
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
    if (retrieves)
      result.recall = static_cast<double>(num_recalled) / static_cast<double>(result.num_samples);
    return result;
  }

  DemoModelResult model_result(const char* folder, const char* name) const {
    DemoModelResult result;
    result.name = name;
    result.folder = (options_.out / folder).string();
    result.num_parameters = load_model(options_.out / folder, at::kCPU)->parameters().num_elements();
    const DemoTraining training = state_.training(folder);
    result.training_seconds = training.seconds;
    for (std::size_t stage = 1; stage < training.stage_starts.size(); ++stage) {
      const NeedleStage& shape = plan_.curriculum.stages[stage];
      result.stages.push_back({static_cast<double>(training.stage_starts[stage]),
                               fmt::format("{} chunks, {} needles", shape.num_chunks, shape.num_needles)});
    }
    const std::filesystem::path metrics = options_.out / folder / "metrics.jsonl";
    const std::string lines = read_file(metrics);
    for (std::size_t begin = 0, number = 1; begin < lines.size(); ++number) {
      const std::size_t end = std::min(lines.find('\n', begin), lines.size());
      const std::string source = fmt::format("{}, line {}", metrics.string(), number);
      const Json step = parse_json(std::string_view(lines).substr(begin, end - begin), source);
      result.steps.push_back({json_field<std::int64_t>(step, "step", source),
                              json_field<double>(step, "loss", source),
                              json_field_or<double>(step, "exact_match", NAN, source)});
      begin = end + 1;
    }
    for (const DemoLengthPlan& length : plan_.lengths)
      result.lengths.push_back(length_result(folder, length));
    return result;
  }

  Heatmap depth_map() const {
    Heatmap heatmap{.title = "DRT: right answers by length and depth",
                    .x_label = "tokens of context",
                    .y_label = "depth of the needle",
                    .x_ticks = {},
                    .y_ticks = {},
                    .values = {},
                    .cell_texts = {}};
    for (const DemoLengthPlan& length : plan_.lengths) {
      heatmap.x_ticks.push_back(group_digits(length.num_chunks * plan_.drt.chunk_size));
    }
    for (std::size_t depth = 0; depth < plan_.depths.size(); ++depth) {
      heatmap.y_ticks.push_back(percent_text(plan_.depths[depth]));
      heatmap.values.emplace_back();
      heatmap.cell_texts.emplace_back();
      for (const DemoLengthPlan& length : plan_.lengths) {
        const DemoCell cell = state_.cell(drt_folder, length.num_chunks, depth).value().cell;
        heatmap.values.back().push_back(static_cast<double>(cell.num_correct) /
                                        static_cast<double>(cell.num_samples));
        heatmap.cell_texts.back().push_back(fmt::format("{}/{}", cell.num_correct, cell.num_samples));
      }
    }
    return heatmap;
  }

  DemoSample sample() const {
    const DemoInspection seen = state_.inspection(drt_folder).value();
    DemoSample sample;
    sample.num_chunks = seen.num_chunks;
    sample.chunk_size = plan_.drt.chunk_size;
    sample.question = seen.question;
    sample.expected = seen.expected;
    sample.answers = {{"DRT", seen.answer},
                      {"sliding window", state_.inspection(sliding_window_folder).value().answer}};
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

  std::vector<std::pair<std::string, std::string>> settings(const DemoReport& report) const {
    const ModelConfig& drt = plan_.drt;
    return {
        {"DRT",
         fmt::format("{} parameters: {} lower layers, {} encoder layer, {} upper layer; width {}, {} heads",
                     group_digits(report.drt.num_parameters), drt.decoder_layers[0], drt.num_encoder_layers,
                     drt.decoder_layers[1], drt.hidden_size, drt.num_heads)},
        {"Memory of the DRT",
         fmt::format("chunks of {} tokens, the {} best read for each new chunk", drt.chunk_size, drt.top_k)},
        {"Sliding window",
         fmt::format("{} parameters: {} layers of the same width",
                     group_digits(report.sliding_window.num_parameters), plan_.sliding_window.num_layers)},
        {"Attention window of both", fmt::format("{} positions", drt.window_size + 1)},
        {"Tokens", "bytes"},
        {"Training", fmt::format("{} steps of about 3,000 tokens, AdamW, learning rate {:g} to {:g}, float32",
                                 plan_.train.steps, plan_.train.lr, plan_.train.min_lr)},
        {"Training time",
         fmt::format("DRT {}, sliding window {}", format_duration(report.drt.training_seconds),
                     format_duration(report.sliding_window.training_seconds))},
        {"Machine", fmt::format("CPU, {} threads", at::get_num_threads())}};
  }

  // A short text with a question at its end, aligned as in training, for the reader to try.
  std::filesystem::path write_example_prompt() const {
    const std::filesystem::path path = options_.out / "example-prompt.txt";
    write_file_atomic(path, demo_example_prompt(plan_, options_.seed));
    return path;
  }

  DemoReport report() const {
    DemoReport report;
    report.seed = options_.seed;
    report.training_length = plan_.lengths.front().num_chunks * plan_.drt.chunk_size;
    report.drt = model_result(drt_folder, "DRT");
    report.sliding_window = model_result(sliding_window_folder, "sliding window");
    report.depths = depth_map();
    report.sample = sample();
    report.total_seconds = state_.total_seconds();
    report.peak_memory_bytes = state_.peak_memory_bytes();
    report.settings = settings(report);
    report.next_commands = fmt::format(
        "lookback generate --model {0} --prompt-file {1} --max-new-tokens 6 --greedy\n"
        "lookback score --model {0} --text {1} --json",
        report.drt.folder, write_example_prompt().string());
    report.version = version;
    return report;
  }

  DemoOptions options_;
  std::unique_ptr<Tokenizer> tokenizer_;
  DemoPlan plan_;
  DemoState state_;
};

}  // namespace

std::optional<DemoReport> run_demo(const DemoOptions& options) {
  return Demo(options).run();
}

}  // namespace lookback
