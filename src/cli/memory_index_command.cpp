// lookback memory index: lists for the approximate search of a memory, and how good it is.
#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/inference_flags.h"
#include "cli/memory_command.h"
#include "core/counted.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "generate/inference_model.h"
#include "ingest/memory_index.h"
#include "ingest/open_memory.h"
#include "report/text_table.h"

namespace lookback {
namespace {

struct IndexFlags {
  InferenceFlags inference;
  std::string memory;
  MemoryIndexConfig config;
  bool json = false, quiet = false;
};

std::string time_text(double seconds) { return fmt::format("{:.3f} ms", 1000 * seconds); }

void print_table(const MemoryIndexReport& report, const std::string& path) {
  std::vector<std::vector<std::string>> rows = {
      {"lists searched", fmt::format("recall@{}", report.top_k), "of their weight", "a query"}};
  for (const SearchQuality& search : report.searches) {
    rows.push_back({group_digits(search.num_probes), percent_text(search.recall), percent_text(search.weight),
                    time_text(search.seconds)});
  }
  rows.push_back({"exact", "100%", "100%", time_text(report.exact_seconds)});
  print_output("{}: {} in {}, {}; {} queries of the model on the memory's own text\n\n{}\n", path,
               counted(group_digits(report.num_chunks), "chunk"), counted(group_digits(report.num_lists), "list"),
               format_duration(report.cluster_seconds), group_digits(report.num_queries), text_table(rows, "  "));
  print_output("`--search approximate` looks into {}; --probes N into others\n", counted(report.num_probes, "list"));
}

void run_index(IndexFlags& flags) {
  const StopToken stop = catch_interrupts();
  const LanguageModel model = open_model(flags.inference);
  const InferenceModel& opened = model.opened();
  const auto memory = open_memory(flags.memory, *opened.model, opened.fingerprint, opened.tokenizer.get());
  ProgressLine line(flags.quiet || flags.json);
  const MemoryIndexReport report = build_memory_index(
      *memory, *opened.model, flags.config,
      [&](const char* step) {
        if (line.due()) line.show(fmt::format("index of {} chunks: {}", memory->num_chunks(), step));
      },
      stop);
  line.finish();
  if (flags.json) {
    print_output("{}\n", dump_line(to_json(report)));
  } else {
    print_table(report, memory_index_path(flags.memory).string());
  }
}

}  // namespace

void add_memory_index_command(CLI::App& memory) {
  const auto flags = std::make_shared<IndexFlags>();
  CLI::App* command = memory.add_subcommand(
      "index", "Lists for an approximate search of a large memory, and its recall against the exact");
  command->add_option("memory", flags->memory, "The memory's file; the lists go to NAME.memory.index")
      ->required()
      ->type_name("NAME.memory");
  add_inference_flags(*command, flags->inference);
  command->add_option("--lists", flags->config.num_lists, "How many; 0: 4 times the root of the number of chunks")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", flags->config.seed, "Of the first centroids")->capture_default_str();
  command->add_option("--pieces", flags->config.num_pieces, "Pieces of the memory's text whose queries are measured")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress line");
  command->footer(
      "Examples:\n"
      "  lookback memory index library.memory --model runs/books\n"
      "  lookback generate --model runs/books --memory library.memory --search approximate --prompt \"Who is Ahab?\"");
  command->callback([flags] { run_index(*flags); });
}

}  // namespace lookback
