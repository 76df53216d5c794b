// Small random models on which generation and the whole forward are compared.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "models/model.h"

namespace lookback {

struct SmallModelCase {
  std::string name;
  ModelConfig config;
};

// S = 8: one, two and three groups, grouped-query attention, softmax-plus-one on and off, windows smaller and
// larger than a chunk, more chunks asked for than there are; and the other kinds of models.
std::vector<SmallModelCase> small_model_cases();

// Weights large enough that logits differ by units and retrievals are decided.
std::unique_ptr<Model> make_small_model(const ModelConfig& config);

// Random text tokens [N, L]: no landmark among them.
at::Tensor random_ids(const ModelConfig& config, std::int64_t num_sequences, std::int64_t length, std::uint64_t seed);

// Logits of the whole forward [N, L, V].
at::Tensor whole_logits(Model& model, const at::Tensor& ids);

// The largest absolute difference.
double largest_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace lookback
