#include "cli/tokenizer_choices_flags.h"

namespace lookback {

void add_tokenizer_choices(CLI::App& command, TokenizerChoices& choices) {
  command
      .add_option(
          "--end-of-text", choices.end_of_text,
          "The token that ends a text, where the tokenizer's file names none or another; kept with what is made")
      ->type_name("TOKEN");
  command.add_flag("--no-special", choices.no_special,
                   "Special tokens (<|endoftext|>) that stand in a text are encoded as text");
}

}  // namespace lookback
