#include "eval/demo_plan.h"

#include "models/drt/drt_config.h"

namespace lookback {
namespace {

constexpr std::int64_t chunk_size = 31;

ModelConfig base_config(std::int64_t vocab_size) {
  ModelConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 128;
  config.num_heads = 4;
  config.num_kv_heads = 4;
  config.vocab_size = vocab_size + 1;
  config.landmark_id = vocab_size;
  config.chunk_size = chunk_size;
  config.top_k = 4;
  config.window_size = chunk_size;  // 32 positions in sight, as many as a chunk with its landmark
  auto& drt = config.own<DrtConfig>();
  drt.num_encoder_layers = 1;
  drt.decoder_layers = {2, 1};
  // With the usual 0.02 for all weights a model this narrow learns nothing in as many steps.
  config.initializer_range = 0;
  config.embedding_initializer_range = 0.3;
  return config;
}

}  // namespace

DemoPlan make_demo_plan(std::int64_t vocab_size, std::uint64_t seed, std::int64_t steps, bool quick) {
  DemoPlan plan;
  plan.drt = base_config(vocab_size);
  plan.sliding_window = base_config(vocab_size);
  plan.sliding_window.kind = "sliding-window";
  plan.sliding_window.num_layers = 4;
  // What the encoder and chunk attention cost the DRT goes into wider layers here.
  plan.sliding_window.intermediate_size = 150;

  plan.train.steps = steps;
  plan.train.lr = 2e-3;
  plan.train.min_lr = 1e-4;
  plan.train.warmup_steps = 50;
  plan.train.weight_decay = 0.01;
  plan.train.clip_grad_norm = 1.0;
  plan.train.seed = seed;
  plan.train.checkpoint_every = 100;
  plan.train.keep_checkpoints = 1;

  plan.curriculum.chunk_size = chunk_size;
  plan.curriculum.seed = seed;

  plan.depths = {0, 0.25, 0.5, 0.75, 1};
  plan.lengths = {{16, 20}, {64, 20}, {256, 12}, {1024, 6}};
  if (!quick) plan.lengths.insert(plan.lengths.end(), {{4096, 4}, {16384, 4}});
  plan.sample = {plan.lengths.back().num_chunks, 1};
  return plan;
}

}  // namespace lookback
