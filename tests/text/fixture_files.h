// Files of tests/fixtures/tokenizers, and tokenizers made of what they hold.
#pragma once

#include <memory>
#include <string>

#include "core/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_choices.h"

namespace lookback {

// The content of a .gz file there.
std::string gunzip_fixture(const std::string& name);

// A tokenizer of a tokenizer.json with this content.
std::unique_ptr<Tokenizer> tokenizer_from(const std::string& content, const TokenizerChoices& choices = {});

// The reason why a file with this content is refused; "none" where it is not.
std::string refusal_of(const std::string& content);

}  // namespace lookback
