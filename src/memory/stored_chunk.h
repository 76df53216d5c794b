// A chunk's keys and values as an archive stores them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// All of it lies on one device. Archives and caches share it, so nobody writes to it once it is made.
struct StoredChunk {
  at::Tensor key, value;  // [M, H, D] of any floating type or int8
  // With int8 elements [M, H] float32: an element stands for element * scale. Otherwise undefined.
  at::Tensor key_scales, value_scales;

  std::int64_t bytes() const;

  // Itself where it lies on that device, else a copy there, of the elements as they are.
  StoredChunk to(at::Device device) const;

  // Writes the numbers that the elements stand for to tensors [M, H, D] of any floating type and device. Elements
  // for another device travel as they are and are widened there.
  void widen_to(at::Tensor& to_key, at::Tensor& to_value) const;
};

}  // namespace lookback
