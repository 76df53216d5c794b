// The border between the cross-entropy operator and its kernel.
#pragma once

#include <cstdint>

namespace lookback {

// loss = log(sum(exp(logits))) - logits[label], 0 where the label is negative (ignored).
struct CrossEntropyParams {
  std::int64_t num_classes = 0;          // V
  float* logits = nullptr;               // [R, V] contiguous
  const std::int64_t* labels = nullptr;  // [R], below V
  float* losses = nullptr;               // [R], all of it is written
  // [R]: the logits become factor * (softmax - one-hot of the label), zeros where the label is ignored; null: the
  // logits become meaningless.
  const float* factors = nullptr;
};

}  // namespace lookback
