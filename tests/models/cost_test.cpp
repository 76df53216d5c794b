#include "models/cost.h"

#include <gtest/gtest.h>

#include "models/model.h"
#include "models/tiny_config.h"

namespace lookback {
namespace {

TEST(CountParameters, EqualsTheModelsOwnCount) {
  for (const std::string& kind : model_kinds()) {
    ModelConfig config = tiny_config(kind);
    for (const std::int64_t num_kv_heads : {2, 1}) {
      config.num_kv_heads = num_kv_heads;
      EXPECT_EQ(count_parameters(config), make_model(config, at::kCPU, 0)->parameters().num_elements()) << kind;
    }
  }
}

TEST(CountParameters, EqualsThatOfConvolutions) {
  for (const std::string& kind : model_kinds()) {
    for (const std::int64_t layers : {0, 1}) {
      ModelConfig config = tiny_config(kind);
      config.conv_kernel = 4;
      config.conv_layers = layers;
      EXPECT_EQ(count_parameters(config), make_model(config, at::kCPU, 0)->parameters().num_elements()) << kind;
    }
  }
  ModelConfig config = tiny_config("drt");
  config.own<DrtConfig>().encoder_conv_kernel = 3;
  config.own<DrtConfig>().key_conv_kernel = 2;
  config.own<DrtConfig>().retrieval_projections = true;
  config.own<DrtConfig>().recency_bias = true;
  config.own<DrtConfig>().term_scores = true;
  config.own<DrtConfig>().landmark_from = "vector";
  EXPECT_EQ(count_parameters(config), make_model(config, at::kCPU, 0)->parameters().num_elements());
}

TEST(CountParameters, EqualsThatOfACompressedCache) {
  ModelConfig config = tiny_config("memorizing");
  config.own<MemorizingConfig>().memory_width = 6;
  config.num_kv_heads = 1;
  EXPECT_EQ(count_parameters(config), make_model(config, at::kCPU, 0)->parameters().num_elements());
}

TEST(CountParameters, LeavesOutATableThatIsNotTrained) {
  ModelConfig config = tiny_config("rpt");
  auto& own = config.own<DrtConfig>();
  own.retriever = "embeddings";
  EXPECT_EQ(count_given_parameters(config), 33 * own.retriever_size);
  EXPECT_EQ(count_parameters(config) + 33 * own.retriever_size,
            make_model(config, at::kCPU, 0)->parameters().num_elements());
}

// Counted by hand, product by product: 20 tokens, d 16, MLP 24, window of 12 before and the position itself.
TEST(ForwardFlops, SlidingWindow) {
  double pairs = 0;
  for (int i = 0; i < 20; ++i) pairs += std::min(i + 1, 13);
  const double layer = 20.0 * (4 * 2 * 16 * 16 + 3 * 2 * 16 * 24) + pairs * (2 * 16 + 2 * 16);
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("sliding-window"), 20), 2 * layer + 20.0 * 2 * 16 * 32);
}

// A product and a sum for each of the positions before, each channel: 20 tokens, two layers of d 16.
TEST(ForwardFlops, Convolutions) {
  ModelConfig config = tiny_config("sliding-window");
  const double without = forward_flops(config, 20);
  config.conv_kernel = 4;
  EXPECT_DOUBLE_EQ(forward_flops(config, 20), without + 2 * 20 * 2 * 3 * 16);
  config.conv_layers = 1;
  EXPECT_DOUBLE_EQ(forward_flops(config, 20), without + 20 * 2 * 3 * 16);
  EXPECT_EQ(window_bytes(config, 4), window_bytes(tiny_config("sliding-window"), 4) + 4LL * 3 * 16);
}

// 40 tokens: 5 chunks of 8 tokens and a landmark, 45 positions; one lower layer, two upper groups of one.
TEST(ForwardFlops, Drt) {
  double pairs = 0;
  for (int i = 0; i < 45; ++i) pairs += std::min(i + 1, 13);
  const double projections = 4 * 2 * 16 * 16 + 3 * 2 * 16 * 24;
  const double decoder_layer = 45 * projections + pairs * 64;
  const double encoder_layer = 45 * projections + 5 * 9 * 9 * 64;
  const double chunk_projections = 40 * 2 * (2 * 16 * 16);
  const double scores = (0 + 1 + 2 + 3 + 4) * 2 * 16;
  // Chunk 1 reads what chunk 0 found (nothing), chunk 2 one chunk, chunks 3 and 4 two each: nine positions, eight keys.
  const double gca = 36 * (2 * 2 * 16 * 16) + (0 + 1 + 2 + 2) * 9 * 8 * 64;
  const double logits = 40 * 2 * 16 * 33;
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("drt"), 40),
                   3 * decoder_layer + encoder_layer + chunk_projections + 2 * scores + 2 * gca + logits);
}

// What differs from DRT, which has five chunks of 8 tokens (above).
TEST(ForwardFlops, PartsOfDrtThatAreOthers) {
  const double drt = forward_flops(tiny_config("drt"), 40);
  const double chunk_projections = 2 * (2 * 16 * 16);  // of a vector
  const double drt_keys = (0 + 1 + 2 + 2) * 9 * 8 * 64;
  const double pooling = 40 * 3 * (2 * 16 + 2 * 16);
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("compressed-memory"), 40),
                   drt - (40 - 15) * chunk_projections - 2 * drt_keys * (1 - 3.0 / 8) + pooling);
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("rpt"), 40), drt + 2 * (0 + 1 + 2 + 3 + 4) * 2 * (24 - 16));
  ModelConfig encoder = tiny_config("rpt");
  encoder.own<DrtConfig>().retriever = "encoder";
  EXPECT_DOUBLE_EQ(forward_flops(encoder, 40), drt + 40 * (4 * 2 * 16 * 16 + 3 * 2 * 16 * 24) + 5 * 8 * 8 * 64);
}

// 20 tokens: 3 blocks of 8 tokens and a landmark; in training each of the 27 positions reads all before it and itself.
TEST(ForwardFlops, Landmark) {
  const double layer = 27.0 * (4 * 2 * 16 * 16 + 3 * 2 * 16 * 24) + 27.0 * 28 / 2 * (2 * 16 + 2 * 16);
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("landmark"), 20), 2 * layer + 20.0 * 2 * 16 * 33);
}

constexpr double layer_of_20_tokens = 20.0 * (4 * 2 * 16 * 16 + 3 * 2 * 16 * 24);

double window_pairs_of_20_tokens() {
  double pairs = 0;
  for (int i = 0; i < 20; ++i) pairs += std::min(i + 1, 13);
  return pairs;
}

// Two layers of 20 tokens, window 12 and blocks as long, 3 states: one block is carried on.
TEST(ForwardFlops, BlockRecurrent) {
  const double stack = 2 * (layer_of_20_tokens + window_pairs_of_20_tokens() * 64) + 20.0 * 2 * 16 * 32;
  const double state_keys = 2 * 3 * 2 * (2 * 16 * 16);
  const double tokens = 20 * (2 * 2 * 16 * 16 + 3 * 64);
  const double states = 3 * (4 * 2 * 16 * 16 + (3 + 12) * 64);
  EXPECT_DOUBLE_EQ(forward_flops(tiny_config("block-recurrent"), 20), stack + state_keys + tokens + states);
}

// The memory of 10 positions behind the window of 13: seven queries have 1 to 7 candidates, and read four of them.
TEST(ForwardFlops, Memorizing) {
  ModelConfig config = tiny_config("memorizing");
  const double stack = 2 * (layer_of_20_tokens + window_pairs_of_20_tokens() * 64) + 20.0 * 2 * 16 * 32;
  constexpr double candidates = 1 + 2 + 3 + 4 + 5 + 6 + 7;
  constexpr double read = 1 + 2 + 3 + 4 + 4 + 4 + 4;
  EXPECT_DOUBLE_EQ(forward_flops(config, 20), stack + candidates * 2 * 16 + read * 2 * 16);
  config.own<MemorizingConfig>().memory_width = 6;
  const double projections = 20 * (2 * 2 * 16 * 16 + 2 * 16 * 6) + 20 * 2 * (2 * 16 * 6);
  const double heads = static_cast<double>(config.num_heads);
  EXPECT_DOUBLE_EQ(forward_flops(config, 20), stack + projections + candidates * 2 * 6 + read * 2 * heads * 2 * 6);
}

TEST(MemoryBytes, MatchThePapersFigures) {
  ModelConfig config;
  config.hidden_size = 768;
  config.num_heads = config.num_kv_heads = 12;
  config.chunk_size = 63;
  EXPECT_NEAR(memory_bytes_per_token(config, 2), 3 * 1024 + 768 * 2 / 63.0, 1e-9);
  config.kind = "compressed-memory";
  config.own<DrtConfig>().memory_vectors = 8;
  EXPECT_NEAR(memory_bytes_per_token(config, 2), (2 * 8 + 1) * 768 * 2 / 63.0, 1e-9);
  config.kind = "rpt";
  config.own<DrtConfig>() = DrtConfig();
  config.own<DrtConfig>().retriever = "bm25";
  EXPECT_NEAR(memory_bytes_per_token(config, 2), 3 * 1024 + 1024 * 2 / 63.0, 1e-9);
  config.kind = "sliding-window";
  config.num_layers = 14;
  config.window_size = 512;
  EXPECT_EQ(memory_bytes_per_token(config, 2), 0);
  EXPECT_EQ(window_bytes(config, 2), 14 * 2 * 512 * 768 * 2);
  config.kind = "landmark";
  EXPECT_NEAR(memory_bytes_per_token(config, 2), 14 * (3 * 1024 + 768 * 2 / 63.0), 1e-9);
  EXPECT_EQ(window_bytes(config, 2), 14 * 2 * 63 * 768 * 2);
  config.kind = "block-recurrent";
  config.own<BlockRecurrentConfig>().state_size = 512;
  EXPECT_EQ(memory_bytes_per_token(config, 2), 0);
  EXPECT_EQ(window_bytes(config, 2), 14 * 2 * 512 * 768 * 2 + 512 * 768 * 2);
  config.window_positions = WindowPositions::rope;  // keys of one layer are kept twice
  EXPECT_EQ(window_bytes(config, 2), (14 * 2 + 1) * 512 * 768 * 2 + 512 * 768 * 2);
  config.kind = "memorizing";
  config.own<MemorizingConfig>().memory_size = 65536;
  EXPECT_EQ(memory_bytes_per_token(config, 2), 0);
  EXPECT_EQ(window_bytes(config, 2), (14 * 512 + 65536) * 2 * 768 * 2 + 512 * 768 * 2);
  config.window_positions = WindowPositions::alibi;
  EXPECT_EQ(window_bytes(config, 2), (14 * 512 + 65536) * 2 * 768 * 2);
  config.window_positions = WindowPositions::rope;
  config.own<MemorizingConfig>().memory_width = 192;
  EXPECT_EQ(window_bytes(config, 2), 14 * 2 * 512 * 768 * 2 + (512 + 65536) * 192 * 2);
}

}  // namespace
}  // namespace lookback
