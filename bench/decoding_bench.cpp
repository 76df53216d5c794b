// Decoding with a memory of sixteen million tokens against decoding after a text of sixteen thousand: speedup_over_16k
// is the part of the speed that is left.
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <vector>

#include "bench_models.h"
#include "ingest/build_memory.h"
#include "memory/chunk_cache.h"
#include "memory/memory_format.h"
#include "memory/memory_writer.h"
#include "memory/stored_memory.h"
#include "models/sequence_batch.h"
#include "side_by_side.h"

namespace lookback {
namespace {

// Many chunks, of which `num_distinct` differ: for timing alone.
class RepeatedArchive : public ChunkArchive {
 public:
  RepeatedArchive(const EncodedChunks& chunks, std::int64_t num_chunks) : chunks_(chunks) {
    const std::int64_t num_distinct = chunks.landmarks.size(1);
    landmarks_ =
        chunks.landmarks[0].repeat({(num_chunks + num_distinct - 1) / num_distinct, 1}).narrow(0, 0, num_chunks);
    // No two alike, so that what is retrieved is spread over all of them.
    landmarks_ += 0.01 * at::randn_like(landmarks_);
  }
  std::int64_t num_chunks() const override { return landmarks_.size(0); }
  at::Tensor landmarks() const override { return landmarks_; }
  at::ScalarType element_type() const override { return at::kFloat; }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    const std::int64_t distinct = index % chunks_.key.size(1);
    return std::make_shared<const StoredChunk>(chunks_.key[0][distinct], chunks_.value[0][distinct]);
  }

 private:
  EncodedChunks chunks_;
  at::Tensor landmarks_;
};

at::Tensor some_ids(std::int64_t num_sequences, std::int64_t length) {
  return at::randint(0, 256, {num_sequences, length}, at::kLong);
}

constexpr std::int64_t short_tokens = 16'000, long_tokens = 16'000'000, distinct_chunks = 4096;

std::shared_ptr<const RepeatedArchive> long_archive(Model& model) {
  const ModelConfig& config = model.config();
  return std::make_shared<RepeatedArchive>(
      model.read_chunks(some_ids(1, distinct_chunks * config.chunk_size), 0, at::kFloat),
      long_tokens / config.chunk_size);
}

// A memory file in int8 with these chunks. The operating system may hold it in its cache.
std::shared_ptr<const StoredMemory> store(const RepeatedArchive& archive, Model& model,
                                          const std::filesystem::path& path) {
  const MemoryFormat format = memory_format(model.config(), "bench", nullptr, MemoryElements::int8);
  MemoryWriter writer(path, format);
  const std::uint64_t document = writer.begin_document("repeated", "bench");
  constexpr std::int64_t block_chunks = 32;
  for (std::int64_t first = 0; first < archive.num_chunks(); first += block_chunks) {
    const std::int64_t count = std::min(block_chunks, archive.num_chunks() - first);
    ChunkBlock block;
    block.key = at::empty({count, format.chunk_size, format.num_heads, format.head_dim});
    block.value = at::empty_like(block.key);
    for (std::int64_t i = 0; i < count; ++i) {
      at::Tensor key = block.key[i];
      at::Tensor value = block.value[i];
      archive.chunk(first + i)->widen_to(key, value);
    }
    block.landmarks = archive.landmarks().narrow(0, first, count);
    block.token_ids = at::zeros({count, format.chunk_size}, at::kLong);
    block.text_begins.resize(static_cast<std::size_t>(count));
    writer.append(document, encode_block(block, format), count * format.chunk_size, 0);
    if (first % (block_chunks * 64) == 0) writer.commit();
  }
  writer.finish_document(document);
  writer.commit();
  return std::make_shared<StoredMemory>(path);
}

// Of sixteen million tokens against sixteen thousand, a chunk's tokens a turn: one of them retrieves.
void race_against_16k(benchmark::State& state, const Model& model, const SearchedArchive& memory) {
  const std::int64_t batch_size = state.range(0);
  SequenceBatch with_memory(model, batch_size, make_memory_set({memory}));
  SequenceBatch without(model, batch_size);
  with_memory.prefill(some_ids(batch_size, 1000), 1000);
  without.prefill(some_ids(batch_size, short_tokens), 4096);
  const auto decode = [&](SequenceBatch& sequences) {
    for (std::int64_t i = 0; i < model.config().chunk_size; ++i) {
      benchmark::DoNotOptimize(model.logits(sequences.append(some_ids(batch_size, 1))));
    }
  };
  run_contest(state, {.ours = [&] { decode(with_memory); }, .rivals = {{"16k", [&] { decode(without); }}}});
  state.counters["tokens_per_second"] = benchmark::Counter(static_cast<double>(batch_size * model.config().chunk_size),
                                                           benchmark::Counter::kIsIterationInvariantRate);
}

std::unique_ptr<Model> frozen_model(const ModelConfig& config) {
  std::unique_ptr<Model> model = make_model(config, at::kCPU, 1);
  model->parameters().freeze(at::kFloat);
  return model;
}

void BM_Decode(benchmark::State& state, const ModelConfig& config) {
  const at::NoGradGuard no_gradients;
  const std::unique_ptr<Model> model = frozen_model(config);
  race_against_16k(state, *model, search_exactly(long_archive(*model), at::kCPU));
}

// Through the tiers: 9 GB of int8 in a file, 256 MiB of chunks in memory.
void BM_DecodeFromFile(benchmark::State& state, const ModelConfig& config) {
  const at::NoGradGuard no_gradients;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("lookback_bench_{}", ::getpid());
  std::filesystem::create_directories(folder);
  if (std::filesystem::space(folder).available < 12'000'000'000) {
    state.SkipWithError("needs 12 GB of disk in the temporary folder");
    return;
  }
  const std::unique_ptr<Model> model = frozen_model(config);
  {
    const auto stored = store(*long_archive(*model), *model, folder / "long.memory");
    const auto ram = std::make_shared<ChunkCache>(at::kCPU, std::int64_t{256} << 20U);
    race_against_16k(state, *model, search_exactly(std::make_shared<CachedArchive>(stored, ram), at::kCPU));
  }
  std::filesystem::remove_all(folder);
}

// Of int8 as they are stored, and the same widened to float32 before.
class Int8Archive : public RepeatedArchive {
 public:
  Int8Archive(const EncodedChunks& chunks, std::int64_t num_chunks, bool widened)
      : RepeatedArchive(chunks, num_chunks), widened_(widened) {
    MemoryFormat format;
    format.num_vectors = chunks.key.size(2);
    format.num_heads = chunks.key.size(3);
    format.head_dim = chunks.key.size(4);
    format.elements = MemoryElements::int8;
    for (std::int64_t i = 0; i < chunks.key.size(1); ++i) {
      StoredChunk chunk = parse_chunk(encode_chunk(chunks.key[0][i], chunks.value[0][i], MemoryElements::int8), format);
      if (widened) {
        at::Tensor key = at::empty(chunk.key.sizes());
        at::Tensor value = at::empty(chunk.key.sizes());
        chunk.widen_to(key, value);
        chunk = {key, value, {}, {}};
      }
      stored_.push_back(std::make_shared<const StoredChunk>(chunk));
    }
  }
  at::ScalarType element_type() const override { return widened_ ? at::kFloat : at::kChar; }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    return stored_[static_cast<std::size_t>(index) % stored_.size()];
  }

 private:
  bool widened_;
  std::vector<std::shared_ptr<const StoredChunk>> stored_;
};

// Decoding with a memory whose int8 chunks are in RAM as they are stored, against the same in float32.
void BM_DecodeAsStored(benchmark::State& state, const ModelConfig& config) {
  const at::NoGradGuard no_gradients;
  const std::unique_ptr<Model> model = frozen_model(config);
  constexpr std::int64_t num_chunks = 2048;
  const EncodedChunks chunks = model->read_chunks(some_ids(1, num_chunks * config.chunk_size), 0, at::kFloat);
  const auto sequences = [&](bool widened) {
    at::manual_seed(2);
    const auto archive = std::make_shared<Int8Archive>(chunks, num_chunks, widened);
    auto batch = std::make_unique<SequenceBatch>(*model, 1, make_memory_set({search_exactly(archive, at::kCPU)}));
    batch->prefill(some_ids(1, 1000), 1000);
    return batch;
  };
  const auto as_stored = sequences(false);
  const auto widened = sequences(true);
  const auto decode = [&](SequenceBatch& batch) {
    for (std::int64_t i = 0; i < 4 * config.chunk_size; ++i) {
      benchmark::DoNotOptimize(model->logits(batch.append(some_ids(1, 1))));
    }
  };
  run_contest(state, {.ours = [&] { decode(*as_stored); }, .rivals = {{"float32", [&] { decode(*widened); }}}});
}

BENCHMARK_CAPTURE(BM_DecodeAsStored, seven_million, seven_million())
    ->Iterations(20)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Decode, seven_million, seven_million())
    ->Arg(1)
    ->Arg(4)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_DecodeFromFile, seven_million, seven_million())
    ->Arg(1)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
