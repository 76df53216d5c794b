// Text streams to token ids and back, holding little of them at a time: the work of `lookback tokenize` and
// `lookback detokenize`.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>

#include "text/tokenizer.h"

namespace lookback {

// Told from time to time how much of the input is done.
using OnInputBytes = std::function<void(std::uint64_t num_bytes)>;

// All of `in` as one text: writes its ids, separated by blanks, and a line end. Holds a few MB of the text where the
// tokenizer knows a place to cut (Tokenizer::safe_prefix), all of it otherwise. Throws Error when `out` takes no more.
void tokenize_text(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes = {});

// Ids separated by white space: writes exactly the bytes that they stand for. Throws Error naming the line of what is
// no id of the tokenizer.
void detokenize_text(const Tokenizer& tokenizer, std::istream& in, std::ostream& out,
                     const OnInputBytes& on_bytes = {});

// A {"text": "..."} a line: writes {"ids": [...]} for each. Holds a line at a time. Throws Error naming the line.
void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes = {});

// An {"ids": [...]} a line: writes {"text": "..."} for each; bytes that are no UTF-8 become U+FFFD. Throws Error
// naming the line.
void detokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out,
                      const OnInputBytes& on_bytes = {});

}  // namespace lookback
