#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/corpora_flags.h"
#include "cli/exit_codes.h"
#include "cli/input_rules_flags.h"
#include "cli/left_out_lines.h"
#include "cli/tokenizer_choices_flags.h"
#include "core/counted.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "data/out_folder.h"
#include "data/prepare.h"
#include "data/prepare_corpora.h"
#include "text/tokenizer_choices.h"

namespace lookback {
namespace {

struct PrepareFlags {
  PrepareConfig config;
  std::vector<std::string> inputs;
  CorporaFlags corpora;
  InputRulesFlags rules;
  std::string tokenizer, out;
  TokenizerChoices choices;
  bool json = false;
  bool quiet = false;
};

std::string progress_text(const PrepareProgress& progress, double seconds) {
  if (progress.mixed_documents_total > 0) {
    return fmt::format(
        "mix {:.0f}% | {} of {}",
        100.0 * static_cast<double>(progress.mixed_documents) / static_cast<double>(progress.mixed_documents_total),
        progress.mixed_documents, counted(progress.mixed_documents_total, "document"));
  }
  const auto done = static_cast<double>(progress.disk_bytes - progress.disk_bytes_before);
  const auto total = static_cast<double>(progress.disk_bytes_total - progress.disk_bytes_before);
  const double all = static_cast<double>(std::max<std::int64_t>(progress.disk_bytes_total, 1));
  return fmt::format("prepare {:.0f}% | {} | {} | {:.1f} MB/s of text | ETA {}",
                     100.0 * static_cast<double>(progress.disk_bytes) / all,
                     counted(format_count(static_cast<double>(progress.num_documents)), "document"),
                     counted(format_count(static_cast<double>(progress.num_tokens)), "token"),
                     static_cast<double>(progress.text_bytes) / 1e6 / std::max(seconds, 1e-9),
                     eta_text(done, total, seconds));
}

Json result_json(const PrepareResult& result) {
  Json datasets = Json::array();
  for (const PreparedDataset& dataset : result.datasets) {
    datasets.push_back({{"folder", dataset.folder.string()},
                        {"num_tokens", dataset.counts.num_tokens},
                        {"num_documents", dataset.counts.num_documents},
                        {"text_bytes", dataset.counts.text_bytes}});
  }
  Json value = {{"interrupted", result.interrupted},
                {"already_done", result.already_done},
                {"num_inputs", result.num_inputs},
                {"num_unknown_files", result.num_unknown_files},
                {"num_not_read", result.num_not_read},
                {"num_skipped", result.num_skipped},
                {"datasets", datasets}};
  if (!result.mixture.corpora.empty()) value["mixture"] = mixture_json(result.mixture);
  return value;
}

void print_summary(const PrepareFlags& flags, const PrepareResult& result) {
  if (result.already_done) print_output("{}: already done; --force does it again\n", flags.out);
  for (const PreparedDataset& dataset : result.datasets) {
    const DatasetCounts& counts = dataset.counts;
    print_output("{}: {}, {}, {} of text ({:.2f} bytes a token)\n", dataset.folder.string(),
                 counted(counts.num_documents, "document"), counted(counts.num_tokens, "token"),
                 counted(counts.text_bytes, "byte"),
                 static_cast<double>(counts.text_bytes) / static_cast<double>(counts.num_tokens));
    if (&dataset == &result.datasets.front()) print_mixture(result.mixture);
  }
  if (result.num_unknown_files > 0) {
    print_output("{} in the folders passed over ({} by name)\n", counted(result.num_unknown_files, "file"),
                 flags.config.rules.group_by_folder ? "no text" : "neither text nor JSON lines");
  }
  if (result.num_not_read > 0) {
    print_output("{} in the folders could not be read\n", counted(result.num_not_read, "path"));
  }
  if (result.num_skipped > 0) {
    print_output("{} left out as broken or empty; see {}\n", counted(result.num_skipped, "document"),
                 (flags.config.out / skipped_log_name).string());
  }
}

PrepareResult run_preparation(const PrepareFlags& flags, const Tokenizer& tokenizer, const PrepareListener& listener) {
  if (flags.corpora.corpora.empty()) return prepare(flags.config, tokenizer, listener);
  CorporaConfig config{.prepare = flags.config, .corpora = {}};
  read_corpora_flags(flags.corpora, config);
  return prepare_corpora(config, tokenizer, listener);
}

int run(PrepareFlags& flags) {
  const StopToken stop = catch_interrupts();
  flags.config.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  flags.config.out = flags.out;
  flags.config.rules = read_input_rules(flags.rules);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(flags.tokenizer, flags.choices);
  ProgressLine line(flags.quiet || flags.json);
  LeftOutLines left_out(line,
                        fmt::format("further ones are named in {}", (flags.config.out / skipped_log_name).string()));
  PrepareListener listener;
  listener.stop = stop;
  listener.progress = [&](const PrepareProgress& progress) {
    if (line.due()) line.show(progress_text(progress, line.elapsed_seconds()));
  };
  listener.skipped = [&](const std::string& reason) { left_out.show(reason); };
  const PrepareResult result = run_preparation(flags, *tokenizer, listener);
  line.finish();
  if (flags.json) print_output("{}\n", dump_line(result_json(result)));
  if (result.interrupted) {
    print_message("Interrupted; what was done is kept in {}. The same command goes on from there.\n", flags.out);
    return exit_interrupted;
  }
  if (!flags.json) print_summary(flags, result);
  return 0;
}

}  // namespace

void add_prepare_command(CLI::App& app) {
  auto flags = std::make_shared<PrepareFlags>();
  CLI::App* command = app.add_subcommand("prepare", "Turn text files into token shards that training maps");
  command->add_option("inputs", flags->inputs,
                      "Files .txt, .md (a document each), .jsonl (a document a line), "
                      "each also .zst or .gz; folders, recursively");
  command
      ->add_option("--tokenizer", flags->tokenizer,
                   "\"bytes\", a tokenizer.json, a SentencePiece .model, or a "
                   "folder that holds one")
      ->required();
  add_tokenizer_choices(*command, flags->choices);
  add_corpora_flags(*command, flags->corpora);
  add_input_rules(*command, flags->rules);
  command->add_option("--out", flags->out, "Folder to write")->required();
  command->add_option("--field", flags->config.field, "Field of a JSON line that holds the text")
      ->capture_default_str();
  command->add_flag("--strict", flags->config.strict, "Stop at the first broken document instead of leaving it out");
  command->add_option("--valid-fraction", flags->config.valid_fraction,
                      "Part of the documents (chosen by their "
                      "content) that goes to OUT/valid, the others to OUT/train");
  command->add_option("--threads", flags->config.num_threads, "Tokenizing threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--force", flags->config.force, "Throw away what an earlier prepare left in OUT");
  command->add_flag("--json", flags->json, "Print the result as one line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress line");
  command->footer(
      "Examples:\n"
      "  lookback prepare notes.txt --tokenizer bytes --out data/notes\n"
      "  lookback prepare books/*.jsonl.zst --tokenizer gpt2/tokenizer.json --valid-fraction 0.01 --out data/books\n"
      "  lookback prepare repositories/ --text-extensions py,cpp,h --group-by-folder --tokenizer bytes --out "
      "data/code\n"
      "  lookback prepare --corpus code=code/train.jsonl --corpus books=books/*.jsonl.zst --weights code=1,books=2 \\\n"
      "      --tokenizer gpt2/tokenizer.json --out data/mixed\n"
      "Killed or stopped (Ctrl-C), the same command goes on where it was.");
  command->get_option("inputs")->excludes("--corpus");
  command->get_option("--weights")->needs("--corpus");
  command->get_option("--mix-tokens")->needs("--corpus");
  command->callback([flags] {
    if (flags->inputs.empty() && flags->corpora.corpora.empty()) throw CLI::RequiredError("inputs or --corpus");
    const int code = run(*flags);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

}  // namespace lookback
