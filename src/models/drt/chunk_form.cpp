#include "models/drt/chunk_form.h"

#include <cmath>
#include <utility>

#include "models/drt/drt_config.h"

namespace lookback {
namespace {

class Positions : public ChunkForm {
 public:
  at::Tensor vectors(const at::Tensor& text) const override { return text; }
};

class WeightedMeans : public ChunkForm {
 public:
  // queries: [M, d].
  explicit WeightedMeans(at::Tensor queries) : queries_(std::move(queries)) {}

  at::Tensor vectors(const at::Tensor& text) const override {
    const double scale = 1 / std::sqrt(static_cast<double>(text.size(3)));
    const at::Tensor scores = at::matmul(queries_.to(text.scalar_type()) * scale, text.transpose(2, 3));
    return at::matmul(at::softmax(scores, -1), text);
  }

 private:
  at::Tensor queries_;
};

}  // namespace

std::unique_ptr<const ChunkForm> make_chunk_form(ParameterSet& parameters, const ModelConfig& config) {
  const std::int64_t count = config.own<DrtConfig>().memory_vectors;
  if (count == 0) return std::make_unique<Positions>();
  // Of this size at first, the queries of the encoder's normalised positions are far from alike.
  const Initializer initializer{Initializer::Kind::normal, 1.0};
  return std::make_unique<WeightedMeans>(
      parameters.add("model.memory_queries", {count, config.hidden_size}, initializer));
}

}  // namespace lookback
