// Readers of files and lines, each as a function of any bytes: what the fuzzers drive (fuzz_main.cpp), and what the
// usual tests run over every seed and every input that once failed (replay_test.cpp).
#pragma once

#include <span>
#include <string_view>

namespace lookback {

// A target reads its input as a user's file is read. It returns whether or not the input is sound; what it must not do
// is crash, hang, take memory without bound, or throw anything but Error.
struct FuzzTarget {
  const char* name;  // the folder of its seeds, too
  void (*run)(std::string_view input);
};

std::span<const FuzzTarget> fuzz_targets();

// nullptr when there is none of that name.
const FuzzTarget* find_fuzz_target(std::string_view name);

// text
void fuzz_tokenizer_json(std::string_view input);
void fuzz_sentencepiece_model(std::string_view input);
void fuzz_token_lines(std::string_view input);
// data
void fuzz_documents(std::string_view input);
void fuzz_json_lines(std::string_view input);
void fuzz_dataset(std::string_view input);
void fuzz_prepare_journal(std::string_view input);
// weights
void fuzz_safetensors(std::string_view input);
void fuzz_torch_checkpoint(std::string_view input);
void fuzz_torch_pickle(std::string_view input);
void fuzz_model_folder(std::string_view input);
// runs and sessions
void fuzz_run_config(std::string_view input);
void fuzz_checkpoint(std::string_view input);
void fuzz_metrics(std::string_view input);
void fuzz_session(std::string_view input);
// memories
void fuzz_memory(std::string_view input);
void fuzz_memory_index(std::string_view input);

}  // namespace lookback
