// Megabytes of text encoded a second on one core. LOOKBACK_BENCH_TEXT names a file of real text; without it the texts
// of the test fixture (short, of many scripts: harder than prose) are repeated.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/files.h"
#include "core/json.h"
#include "text/gpt2_fixture.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

const std::string fixtures = LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers/";

const std::string& real_text() {
  static const std::string text = [] {
    if (const char* const path = std::getenv("LOOKBACK_BENCH_TEXT")) return read_file(path);
    std::string once;
    for (const Json& sample : read_json_file(fixtures + "gpt2-expected.json")) {
      once += sample.at("text").get<std::string>() + "\n";
    }
    std::string repeated;
    while (repeated.size() < 1'000'000) repeated += once;
    return repeated;
  }();
  return text;
}

std::unique_ptr<Tokenizer> load_gpt2() {
  const fs::path path = fs::temp_directory_path() / ("lookback-bench-" + std::to_string(::getpid()) + ".json");
  write_file_atomic(path, gpt2_tokenizer_json());
  auto tokenizer = load_tokenizer(path.string());
  fs::remove(path);
  return tokenizer;
}

void encode_repeatedly(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int32_t> ids;
  for (auto _ : state) {
    ids.clear();
    tokenizer.encode(text, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

void BM_Gpt2Text(benchmark::State& state) { encode_repeatedly(state, *load_gpt2(), real_text()); }
BENCHMARK(BM_Gpt2Text)->Unit(benchmark::kMillisecond);

// The worst that one word can be.
void BM_Gpt2OneLetter(benchmark::State& state) {
  encode_repeatedly(state, *load_gpt2(), std::string(static_cast<std::size_t>(state.range(0)), 'a'));
}
BENCHMARK(BM_Gpt2OneLetter)->Range(1 << 10, 1 << 20)->Unit(benchmark::kMillisecond);

void BM_SplitRegexText(benchmark::State& state) {
  encode_repeatedly(state, *load_tokenizer(fixtures + "split-regex.json"), real_text());
}
BENCHMARK(BM_SplitRegexText)->Unit(benchmark::kMillisecond);

void BM_BytesText(benchmark::State& state) { encode_repeatedly(state, *load_tokenizer("bytes"), real_text()); }
BENCHMARK(BM_BytesText)->Unit(benchmark::kMillisecond);

void BM_LoadGpt2(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(load_gpt2().get());
}
BENCHMARK(BM_LoadGpt2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
