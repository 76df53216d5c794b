// A short causal convolution of each channel by itself: what lets a position know those right before it, without which
// attention learns to copy late or not at all (RWKV's token shift, arXiv 2305.13048, is the one of two positions).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace lookback {

struct ShortConvolution {
  at::Tensor weight;  // [k - 1, d]: of the positions 1, 2, ... before; k: the width, the position itself included

  std::int64_t reach() const { return weight.size(0); }
};

// A parameter `name`, drawn around first_weight for the position right before and 0 for all others, with a standard
// deviation of 0.1. width >= 2.
ShortConvolution make_short_convolution(ParameterSet& parameters, const std::string& name, std::int64_t width,
                                        std::int64_t size, double first_weight);

// What a position gets of those before: sum_j weight_j * x_(t - j) over the last but one dimension, x [..., L, d]; 0
// stands before the first.
at::Tensor short_convolution(const ShortConvolution& convolution, const at::Tensor& x);

// Some positions of one sequence, rows of a matrix that holds those of several.
struct ConvolvedRows {
  std::int64_t first_row = 0, num_rows = 0;
  at::Tensor* before = nullptr;  // the last positions before them [at most k - 1, d]; moves on
};
// The same where x [R, d] holds the next positions of several sequences one after another.
at::Tensor short_convolution(const ShortConvolution& convolution, const at::Tensor& x,
                             const std::vector<ConvolvedRows>& sequences);

// layer(x) of one that sees its input and `convolved` besides, which does not stay in the stream; undefined: nothing.
template <typename Layer>
at::Tensor apply_convolved(const at::Tensor& x, const at::Tensor& convolved, Layer&& layer) {
  return convolved.defined() ? layer(x + convolved) - convolved : layer(x);
}

}  // namespace lookback
