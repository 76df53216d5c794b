// The subcommands of `lookback eval`.
#pragma once

#include <CLI/CLI.hpp>

namespace lookback {

void add_eval_perplexity_command(CLI::App& eval);
void add_eval_needle_command(CLI::App& eval);
void add_eval_summarize_command(CLI::App& eval);

}  // namespace lookback
