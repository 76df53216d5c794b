// The published GPT-2 tokenizer.json, kept compressed beside the tests.
#pragma once

#include <string>

namespace lookback {

// Its content, unpacked once a process.
const std::string& gpt2_tokenizer_json();

}  // namespace lookback
