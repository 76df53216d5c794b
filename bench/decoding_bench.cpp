// Decoding with a memory of sixteen million tokens against decoding after a text of sixteen thousand: speedup_over_16k
// is the part of the speed that is left.
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <memory>

#include "bench_models.h"
#include "models/model.h"
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
  void read(std::int64_t chunk, at::Tensor& key, at::Tensor& value) const override {
    const std::int64_t distinct = chunk % chunks_.key.size(1);
    key.copy_(chunks_.key[0][distinct]);
    value.copy_(chunks_.value[0][distinct]);
  }

 private:
  EncodedChunks chunks_;
  at::Tensor landmarks_;
};

at::Tensor some_ids(std::int64_t num_sequences, std::int64_t length) {
  return at::randint(0, 256, {num_sequences, length}, at::kLong);
}

void BM_Decode(benchmark::State& state, const ModelConfig& config) {
  const at::NoGradGuard no_gradients;
  const std::int64_t batch_size = state.range(0);
  const std::unique_ptr<Model> model = make_model(config, at::kCPU, 1);
  model->parameters().freeze(at::kFloat);
  constexpr std::int64_t short_tokens = 16'000, long_tokens = 16'000'000, distinct_chunks = 4096;
  const auto archive = std::make_shared<RepeatedArchive>(
      model->read_chunks(some_ids(1, distinct_chunks * config.chunk_size), 0, at::kFloat),
      long_tokens / config.chunk_size);
  const auto with_memory = model->new_session(batch_size, at::kFloat);
  with_memory->attach_memory(search_exactly(archive, at::kCPU));
  const auto without = model->new_session(batch_size, at::kFloat);
  with_memory->prefill(some_ids(batch_size, 1000), {});
  without->prefill(some_ids(batch_size, short_tokens), {});
  const auto decode = [&](Session& session) {
    // As many as a chunk has: one of them retrieves.
    for (std::int64_t i = 0; i < config.chunk_size; ++i) {
      benchmark::DoNotOptimize(model->logits(session.append(some_ids(batch_size, 1))));
    }
  };
  run_contest(state, {.ours = [&] { decode(*with_memory); }, .rivals = {{"16k", [&] { decode(*without); }}}});
}
BENCHMARK_CAPTURE(BM_Decode, seven_million, seven_million())
    ->Arg(1)
    ->Arg(4)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
