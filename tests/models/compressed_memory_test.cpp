// A chunk's vectors from DRT's own: with identities as projections, its keys are the encoder's positions.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "models/small_models.h"

namespace lookback {
namespace {

TEST(CompressedMemory, VectorsAreMeansWeighedByLearnedQueries) {
  const ModelConfig config = small_config("compressed-memory");
  const auto compressed = make_model(config, at::kCPU, 3);
  const auto plain = make_model(small_drt_config(), at::kCPU, 4);
  const std::string queries_name = "model.memory_queries";
  for (const auto& [name, tensor] : plain->parameters().named()) {
    tensor.detach().copy_(compressed->parameters().get(name).detach());
  }
  EXPECT_EQ(compressed->parameters().num_elements(), plain->parameters().num_elements() + 3 * config.hidden_size);
  for (Model* model : {compressed.get(), plain.get()}) {
    model->parameters().get("model.chunk_k_proj.weight").detach().copy_(at::eye(config.hidden_size));
  }
  const at::Tensor ids = random_ids(1, 24, 39, 1);
  const EncodedChunks whole = plain->read_chunks(ids, 0, at::kFloat);
  const EncodedChunks few = compressed->read_chunks(ids, 0, at::kFloat);
  EXPECT_EQ(few.key.sizes(), at::IntArrayRef({1, 3, 3, 4, 8}));
  EXPECT_TRUE(few.landmarks.equal(whole.landmarks));
  const at::Tensor positions = whole.key.flatten(3).to(at::kDouble);  // [1, C, S, d]
  const at::Tensor queries = compressed->parameters().get(queries_name).detach().to(at::kDouble);
  for (std::int64_t chunk = 0; chunk < 3; ++chunk) {
    for (std::int64_t v = 0; v < 3; ++v) {
      const at::Tensor scores =
          at::matmul(positions[0][chunk], queries[v]) / std::sqrt(static_cast<double>(config.hidden_size));
      const at::Tensor expected = at::matmul(at::softmax(scores, 0), positions[0][chunk]);
      const at::Tensor found = few.key[0][chunk][v].flatten().to(at::kDouble);
      EXPECT_LT((found - expected).abs().max().item<double>(), 1e-5) << chunk << ", " << v;
    }
  }
}

}  // namespace
}  // namespace lookback
