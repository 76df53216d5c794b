// The flags by which a user chooses what a tokenizer's file leaves open.
#pragma once

#include <CLI/CLI.hpp>

#include "text/tokenizer_choices.h"

namespace lookback {

// Adds --end-of-text and --no-special to `command`, into `choices`, which outlives it.
void add_tokenizer_choices(CLI::App& command, TokenizerChoices& choices);

}  // namespace lookback
