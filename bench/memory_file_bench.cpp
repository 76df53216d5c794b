// A memory file of sixteen million tokens: opening it to read and to write, reading chunks of it, and adding a
// document.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>

#include "core/random.h"
#include "memory/memory_writer.h"
#include "memory/stored_memory.h"

namespace lookback {
namespace {

constexpr std::int64_t num_blocks = 16'130;
constexpr std::int64_t chunks_a_block = 32;

// The demo's model: 16 million tokens in chunks of 31 take 8.5 GB.
MemoryFormat demo_format() {
  return {.model_fingerprint = "bench",
          .tokenizer_fingerprint = "",
          .chunk_size = 31,
          .num_vectors = 31,
          .num_heads = 2,
          .head_dim = 32,
          .hidden_size = 64,
          .elements = MemoryElements::float32,
          .pad_id = 0};
}

EncodedBlock some_block() {
  ChunkBlock block;
  block.key = at::randn({chunks_a_block, 31, 2, 32});
  block.value = at::randn({chunks_a_block, 31, 2, 32});
  block.landmarks = at::randn({chunks_a_block, 64});
  block.token_ids = at::zeros({chunks_a_block, 31}, at::kLong);
  block.text_begins.resize(chunks_a_block);
  return encode_block(block, demo_format());
}

void add_document(MemoryWriter& writer, std::int64_t blocks, const EncodedBlock& block) {
  constexpr std::int64_t blocks_a_commit = 512;  // 270 MB
  const std::uint64_t id = writer.begin_document(std::to_string(writer.documents().size()), "");
  for (std::int64_t i = 0; i < blocks; ++i) {
    writer.append(id, block, chunks_a_block * 31, chunks_a_block * 31);
    if (i % blocks_a_commit == blocks_a_commit - 1) writer.commit();
  }
  writer.finish_document(id);
  writer.commit();
}

// Written once in a process, and removed with it.
const std::filesystem::path& memory_file() {
  struct File {
    File() {
      MemoryWriter writer(path, demo_format());
      add_document(writer, num_blocks, some_block());
    }
    ~File() { std::filesystem::remove(path); }
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("lookback_bench" + std::to_string(::getpid()) + ".memory");
  };
  static const File file;
  return file.path;
}

void BM_MemoryFileWrite(benchmark::State& state) {
  for (auto _ : state) memory_file();
  state.counters["bytes"] = static_cast<double>(std::filesystem::file_size(memory_file()));
}
BENCHMARK(BM_MemoryFileWrite)->Iterations(1)->Unit(benchmark::kSecond)->UseRealTime();

void BM_MemoryFileOpen(benchmark::State& state) {
  const std::filesystem::path& path = memory_file();
  for (auto _ : state) benchmark::DoNotOptimize(StoredMemory(path).num_chunks());
}
BENCHMARK(BM_MemoryFileOpen)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_MemoryFileOpenToWrite(benchmark::State& state) {
  const std::filesystem::path& path = memory_file();
  for (auto _ : state) benchmark::DoNotOptimize(MemoryWriter(path, demo_format()).documents().size());
}
BENCHMARK(BM_MemoryFileOpenToWrite)->Unit(benchmark::kMillisecond)->UseRealTime();

// Chunks anywhere in the part that the system holds in memory, checksums compared.
void BM_MemoryFileReadChunk(benchmark::State& state) {
  const StoredMemory memory(memory_file());
  Random random(1);
  for (auto _ : state) benchmark::DoNotOptimize(memory.chunk(static_cast<std::int64_t>(random.below(100'000))));
}
BENCHMARK(BM_MemoryFileReadChunk)->Unit(benchmark::kMicrosecond)->UseRealTime()->MinTime(2);

// A commit of one block; the file grows by it.
void BM_MemoryFileCommit(benchmark::State& state) {
  MemoryWriter writer(memory_file(), demo_format());
  const EncodedBlock block = some_block();
  for (auto _ : state) add_document(writer, 1, block);
}
BENCHMARK(BM_MemoryFileCommit)->Iterations(50)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lookback
