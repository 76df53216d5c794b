// lookback eval needle: can a model find a needle in a haystack, by length and depth?
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/eval_command.h"
#include "cli/inference_flags.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/parse_list.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "data/haystack.h"
#include "eval/haystack_needles.h"
#include "eval/needle.h"
#include "eval/stored_needle.h"
#include "generate/inference_model.h"
#include "lookback/version.h"
#include "report/heatmap.h"
#include "report/html.h"
#include "report/text_table.h"

namespace lookback {
namespace {

constexpr std::int64_t generated_library_bytes = 16'000'000;

struct NeedleFlags {
  InferenceFlags inference;
  std::string task = "single", lengths = "4K,16K", depths = "0,25,50,75,100", haystack, svg, html;
  NeedleEvaluationConfig config;
  std::string stored;  // not empty: questions of memories in this folder
  std::string elements = "float32";
  std::int64_t num_parts = 5;
  std::int64_t num_stored_needles = 50;
  bool json = false;
  bool quiet = false;
};

// One figure a hop, of the group that found it best: "98.0%" or "100% / 92.5%".
std::string recall_text(const NeedleCell& cell) {
  if (cell.recall.empty() || cell.num_samples == 0) return "-";
  std::vector<std::string> hops;
  for (std::size_t hop = 0; hop < cell.recall[0].size(); ++hop) {
    std::int64_t best = 0;
    for (const auto& group : cell.recall) best = std::max(best, group[hop].num_recalled);
    hops.push_back(percent_text(static_cast<double>(best) / static_cast<double>(cell.num_samples)));
  }
  return fmt::format("{}", fmt::join(hops, " / "));
}

std::string rank_text(const NeedleCell& cell) {
  if (cell.recall.empty() || cell.num_samples == 0) return "-";
  std::vector<std::string> hops;
  for (std::size_t hop = 0; hop < cell.recall[0].size(); ++hop) {
    double best = cell.recall[0][hop].rank_sum;
    for (const auto& group : cell.recall) best = std::min(best, group[hop].rank_sum);
    hops.push_back(std::isnan(best) ? "-" : fmt::format("{:.1f}", best / static_cast<double>(cell.num_samples)));
  }
  return fmt::format("{}", fmt::join(hops, " / "));
}

std::vector<std::string> table_row(const std::string& name, const NeedleCell& cell) {
  const Interval interval = cell.interval();
  return {name,
          cell.num_samples == 0 ? "-" : percent_text(cell.accuracy()),
          fmt::format("{} to {}", percent_text(interval.low), percent_text(interval.high)),
          group_digits(cell.num_samples),
          recall_text(cell),
          rank_text(cell)};
}

// Needles by length and depth, however they were asked.
struct Measured {
  const NeedleEvaluation& needles;
  std::vector<std::int64_t> lengths;
  std::vector<double> depths;
  std::vector<std::string> depth_names;
};

std::string depth_text(double depth) { return fmt::format("{:g}%", depth * 100); }

using TableRows = std::vector<std::vector<std::string>>;

TableRows rows_by_length(const Measured& measured, std::int64_t top_k) {
  TableRows rows = {{"length", "exact match", "95% interval", "samples", fmt::format("recall@{}", top_k), "mean rank"}};
  for (const std::int64_t length : measured.lengths) {
    rows.push_back(table_row(size_text(length), sum_of_length(measured.needles, length)));
  }
  return rows;
}

TableRows rows_by_depth(const Measured& measured, std::int64_t top_k) {
  TableRows rows = {{"depth", "exact match", "95% interval", "samples", fmt::format("recall@{}", top_k), "mean rank"}};
  for (std::size_t i = 0; i < measured.depths.size(); ++i) {
    rows.push_back(table_row(measured.depth_names[i], sum_of_depth(measured.needles, measured.depths[i])));
  }
  return rows;
}

TableRows rows_of_memories(const std::vector<StoredNeedleCost>& costs) {
  TableRows rows = {{"length", "tokens read", "tokens/s", "in files", "bytes a token", "to the first token"}};
  for (const StoredNeedleCost& cost : costs) {
    const auto tokens = static_cast<double>(std::max<std::int64_t>(cost.tokens_stored, 1));
    rows.push_back({size_text(cost.length), format_count(static_cast<double>(cost.tokens_read)),
                    cost.tokens_read == 0 ? "there already"
                                          : format_count(static_cast<double>(cost.tokens_read) / cost.read_seconds),
                    format_bytes(static_cast<double>(cost.file_bytes)),
                    fmt::format("{:.0f}", static_cast<double>(cost.file_bytes) / tokens),
                    fmt::format("{:.1f} ms", 1000 * cost.median_first_token_seconds)});
  }
  return rows;
}

Heatmap heatmap_of(const Measured& measured, const NeedleFlags& flags) {
  Heatmap heatmap;
  heatmap.title = fmt::format("Needle in a haystack ({}): exact match", flags.task);
  heatmap.x_label = "context length (tokens)";
  heatmap.y_label = "depth of the needle";
  for (const std::int64_t length : measured.lengths) heatmap.x_ticks.push_back(size_text(length));
  heatmap.y_ticks = measured.depth_names;
  const std::size_t num_depths = measured.depths.size();
  for (std::size_t row = 0; row < num_depths; ++row) {
    std::vector<double> values;
    for (std::size_t column = 0; column < measured.lengths.size(); ++column) {
      values.push_back(measured.needles.cells[column * num_depths + row].accuracy());
    }
    heatmap.values.push_back(values);
  }
  return heatmap;
}

HtmlTable html_table(const std::string& caption, TableRows rows) {
  HtmlTable table{.caption = caption, .headers = rows.front(), .rows = {}};
  table.rows.assign(rows.begin() + 1, rows.end());
  return table;
}

// Tables, pictures and JSON, as flags ask.
void show(const NeedleFlags& flags, const Measured& measured, const InferenceModel& opened,
          const std::vector<StoredNeedleCost>& costs, Json json) {
  const std::int64_t top_k = opened.model->config().top_k;
  const TableRows by_length = rows_by_length(measured, top_k);
  const TableRows by_depth = rows_by_depth(measured, top_k);
  const std::string heatmap = heatmap_svg(heatmap_of(measured, flags));
  if (!flags.svg.empty()) write_file_atomic(flags.svg, heatmap);
  if (!flags.html.empty()) {
    HtmlPage page("Needle in a haystack",
                  fmt::format("Task {}, seed {}, model {}.", flags.task, flags.config.seed, flags.inference.model));
    page.figure(heatmap, "Exact match of greedy answers, by length of the context and depth of the needle.");
    page.table(html_table("By length.", by_length));
    page.table(html_table("By depth.", by_depth));
    if (!costs.empty()) page.table(html_table("The memories that were asked.", rows_of_memories(costs)));
    write_file_atomic(flags.html, page.finish(fmt::format("Lookback {}.", version)));
  }
  if (flags.json) {
    print_output("{}\n", dump_line(with_model(std::move(json), flags.inference.model, opened)));
    return;
  }
  print_output("Task {}, seed {}\n\n{}\n{}\n", flags.task, flags.config.seed, text_table(by_length, "  "),
               text_table(by_depth, "  "));
  if (!costs.empty()) print_output("{}\n", text_table(rows_of_memories(costs), "  "));
}

void run_stored(NeedleFlags& flags, const InferenceModel& opened, const std::vector<std::int64_t>& haystack,
                const StopToken& stop) {
  require(flags.config.task.kind == NeedleKind::recipe, "--stored: its texts have the needles of --task recipe, not {}",
          flags.task);
  StoredNeedleConfig config;
  config.lengths = flags.config.lengths;
  config.num_parts = flags.num_parts;
  config.num_samples = flags.config.num_samples;
  config.num_needles = flags.num_stored_needles;
  config.seed = flags.config.seed;
  config.folder = flags.stored;
  config.elements = parse_memory_elements(flags.elements);
  config.num_threads = thread_count(flags.inference);
  ProgressLine progress(flags.quiet);
  const StoredNeedleEvaluation evaluation = evaluate_stored_needles(
      opened, haystack, config,
      [&](const std::string& what) {
        if (progress.due()) progress.show(what);
      },
      stop);
  progress.finish(evaluation.needles.complete ? "" : "Interrupted: what follows covers the samples asked so far");
  Measured measured{evaluation.needles, config.lengths, part_depths(config), {}};
  for (std::int64_t part = 0; part < config.num_parts; ++part) {
    measured.depth_names.push_back(
        fmt::format("{}-{}%", 100 * part / config.num_parts, 100 * (part + 1) / config.num_parts));
  }
  show(flags, measured, opened, evaluation.costs, to_json(evaluation, config));
}

void run(NeedleFlags& flags) {
  const StopToken stop = catch_interrupts();
  if (!flags.svg.empty()) check_output_file(flags.svg);
  if (!flags.html.empty()) check_output_file(flags.html);
  NeedleEvaluationConfig& config = flags.config;
  config.task.kind = parse_needle_kind(flags.task);
  config.lengths = parse_sizes(flags.lengths, "--lengths");
  config.depths = parse_percents(flags.depths, "--depths");
  const LanguageModel model = open_model(flags.inference);
  const InferenceModel& opened = model.opened();
  fit_to_model(config, opened);
  const std::vector<std::int64_t> haystack =
      read_haystack(flags.haystack, flags.stored.empty() ? generated_haystack_bytes : generated_library_bytes,
                    flags.config.seed, *opened.tokenizer);
  if (!flags.stored.empty()) return run_stored(flags, opened, haystack, stop);

  ProgressLine progress(flags.quiet);
  const NeedleEvaluation evaluation = evaluate_needles(opened, haystack, config, progress, stop);

  Measured measured{evaluation, config.lengths, config.depths, {}};
  for (const double depth : config.depths) measured.depth_names.push_back(depth_text(depth));
  show(flags, measured, opened, {}, to_json(evaluation, config));
}

}  // namespace

void add_eval_needle_command(CLI::App& eval) {
  const auto flags = std::make_shared<NeedleFlags>();
  flags->config.task.chunk_size = 0;  // the model's
  CLI::App* command = eval.add_subcommand("needle", "Needle in a haystack: exact match by length and depth");
  add_inference_flags(*command, flags->inference);
  command->add_option("--task", flags->task, "single, multi, multi-hop or recipe (the demo's)")->capture_default_str();
  command->add_option("--lengths", flags->lengths, "Tokens, such as 4K,64K,1M")->capture_default_str();
  command->add_option("--depths", flags->depths, "Percent of the text before the needle")->capture_default_str();
  command->add_option("--samples", flags->config.num_samples, "Samples for each length and depth")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--haystack", flags->haystack,
                   "Text file, or folder that `prepare` wrote (default: generated sentences)")
      ->type_name("DIR|F");
  command->add_option("--seed", flags->config.seed, "Seed of keys, values, places")->capture_default_str();
  command->add_option("--needles", flags->config.task.num_needles, "recipe: needles in the text")
      ->capture_default_str();
  command
      ->add_option("--gap", flags->config.task.num_empty_chunks, "recipe: chunks without needles before the question")
      ->capture_default_str();
  command
      ->add_option("--chunk-size", flags->config.task.chunk_size,
                   "For models without chunks: where questions end, to ask them what another model was asked")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--stored", flags->stored,
                   "recipe: read each text into a memory file in DIR once, and ask that; they stay, and a second call "
                   "reads nothing")
      ->type_name("DIR");
  command->add_option("--elements", flags->elements, "With --stored: of keys and values, float32, bfloat16 or int8")
      ->capture_default_str();
  command->add_option("--parts", flags->num_parts, "With --stored, instead of --depths: equal parts of the text")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      ->add_option("--stored-needles", flags->num_stored_needles,
                   "With --stored: needles in one text; as many texts as the samples take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--svg", flags->svg, "Also draw length x depth as a heatmap")->type_name("F.svg");
  command->add_option("--html", flags->html, "Also write a page with the heatmap and the tables")->type_name("F.html");
  command->add_flag("--json", flags->json, "One line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->footer(
      "Examples:\n"
      "  lookback eval needle --model runs/demo/drt --task recipe --lengths 1K,16K,256K --depths 0,50,100 --samples "
      "20\n"
      "  lookback eval needle --model runs/demo/drt --task recipe --stored needles --lengths 64K,1M,16M --html "
      "16m.html\n"
      "  lookback eval needle --model runs/books --task multi-hop --haystack data/books/valid --json --svg hops.svg\n"
      "Ctrl-C ends it and prints what was measured so far.");
  command->callback([flags] { run(*flags); });
}

}  // namespace lookback
