// One function a command: adds its flags to the program and its work as the subcommand's callback.
// To add a command: one file here, one declaration, one line in main.cpp.
#pragma once

#include <CLI/CLI.hpp>

namespace lookback {

void add_tokenize_command(CLI::App& app);
void add_detokenize_command(CLI::App& app);
void add_tokenizer_command(CLI::App& app);
void add_prepare_command(CLI::App& app);
void add_demo_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_score_command(CLI::App& app);
void add_train_command(CLI::App& app);
void add_finetune_command(CLI::App& app);
void add_compare_command(CLI::App& app);
void add_memory_command(CLI::App& app);
void add_estimate_command(CLI::App& app);

}  // namespace lookback
