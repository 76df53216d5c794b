// Megabytes of text encoded a second on one core. LOOKBACK_BENCH_TEXT names a file of real text; without it the texts
// of the test fixture (short, of many scripts: harder than prose) are repeated.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "core/files.h"
#include "core/json.h"
#include "text/fixture_files.h"
#include "text/gpt2_fixture.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

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

std::unique_ptr<Tokenizer> load_gpt2() { return tokenizer_from(gpt2_tokenizer_json()); }

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

// Files shaped like those of known models, with small vocabularies (tools/make_tokenizer_fixtures.py).
void BM_FamilyText(benchmark::State& state, const char* name) {
  const Json file = parse_json(gunzip_fixture("families/" + std::string(name) + ".json.gz"), name);
  encode_repeatedly(state, *tokenizer_from(file.at("tokenizer").dump()), real_text());
}
BENCHMARK_CAPTURE(BM_FamilyText, gpt2, "gpt2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, llama2, "llama2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, llama3, "llama3")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, mistral, "mistral")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, tekken, "tekken")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, qwen2, "qwen2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, qwen3, "qwen3")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, smollm2, "smollm2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, deepseek_v3, "deepseek_v3")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, gemma, "gemma")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, pythia, "pythia")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, o200k, "o200k")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_FamilyText, kimi, "kimi")->Unit(benchmark::kMillisecond);

void BM_BytesText(benchmark::State& state) { encode_repeatedly(state, *load_tokenizer("bytes"), real_text()); }
BENCHMARK(BM_BytesText)->Unit(benchmark::kMillisecond);

void BM_LoadGpt2(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(load_gpt2().get());
}
BENCHMARK(BM_LoadGpt2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
