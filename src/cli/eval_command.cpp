#include "cli/eval_command.h"

#include "cli/commands.h"

namespace lookback {

void add_eval_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("eval", "Measure a model: perplexity on long text, needle in a haystack, summaries");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  lookback eval perplexity --model runs/books --data data/books --context 1K,4K\n"
      "  lookback eval needle --model runs/demo --task recipe --lengths 1K,16K --depths 0,50,100\n"
      "  lookback eval summarize --model runs/summaries --data test.jsonl");
  add_eval_perplexity_command(*command);
  add_eval_needle_command(*command);
  add_eval_summarize_command(*command);
}

}  // namespace lookback
