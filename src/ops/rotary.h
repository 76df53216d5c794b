// Rotary position embedding (Su et al., arXiv 2104.09864), rotate-half.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// The cosines and sines of P positions, [P, D] each; the second half of a row repeats the first.
struct RotaryTable {
  at::Tensor cosine, sine;
};
// Of the given positions [P], and of positions 0..P-1. Position p turns pair i by p theta^(-2 i / D), computed in
// float64.
RotaryTable make_rotary_table(const at::Tensor& positions, std::int64_t head_dim, double theta,
                              const at::TensorOptions& options);
RotaryTable make_rotary_table(std::int64_t num_positions, std::int64_t head_dim, double theta,
                              const at::TensorOptions& options);

// x [M, P, H, D], D even, each row rotated by its position's angles: the dot product of two rotated rows depends on the
// distance of their positions alone. Differentiable in x. Throws Error naming what does
// not fit.
at::Tensor rotary(const at::Tensor& x, const RotaryTable& table);

}  // namespace lookback
