// Runs of prepare() for the tests, and what comes out of them.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/prepare.h"

namespace lookback {

// A run with small shards, two threads.
PrepareConfig small_config(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& out);
// prepare() with the bytes tokenizer.
PrepareResult prepare_bytes(const PrepareConfig& config, const PrepareListener& listener = {});
// The error's message, or "(no error)".
std::string prepare_error(const PrepareConfig& config);

// The documents of a dataset of bytes as texts.
std::vector<std::string> documents_of(const std::filesystem::path& folder);
// Every file below the folder but the journal (which names the inputs' times): path -> content, as one text.
std::string content_of(const std::filesystem::path& folder);

// Compressed with a window of 2^27 bytes.
std::string zstd_compressed(const std::string& text);
std::string gzip_compressed(const std::string& text);

// About `bytes` of text: lines of words, some with characters of several bytes.
std::string generated_text(std::size_t bytes, std::uint64_t seed);

}  // namespace lookback
