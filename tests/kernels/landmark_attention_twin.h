// Landmark attention and its gradients as the formulas say (ops/landmark_attention.h), in float64 scalars: what the
// kernels are compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/sums.h"

namespace lookback {

struct LandmarkAttentionTwinSizes {
  std::int64_t batch, blocks, heads, kv_heads, head_dim, block_size, window, top_k;

  std::int64_t length() const { return blocks * block_size; }
};

// All tensors contiguous, in the layouts of LandmarkAttentionParams.
struct LandmarkAttentionInputs {
  std::vector<float> query, key, value, grad_output;
};

struct LandmarkAttentionTwin {
  Sums output, grad_query, grad_key, grad_value;
  double largest_dot_terms = 0;  // the largest sum_d |q_d k_d| / sqrt(D)
  double largest_score = 0;      // the same with the bias: its own rounding is relative to that
};

std::string describe(const LandmarkAttentionTwinSizes& z);

// Normal numbers.
LandmarkAttentionInputs make_inputs(const LandmarkAttentionTwinSizes& z, std::uint64_t seed);

LandmarkAttentionTwin landmark_attention_twin(const LandmarkAttentionTwinSizes& sizes,
                                              const LandmarkAttentionInputs& inputs);

}  // namespace lookback
