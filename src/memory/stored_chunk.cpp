#include "memory/stored_chunk.h"

namespace lookback {

std::int64_t StoredChunk::bytes() const {
  std::size_t sum = key.nbytes() + value.nbytes();
  if (key_scales.defined()) sum += key_scales.nbytes() + value_scales.nbytes();
  return static_cast<std::int64_t>(sum);
}

StoredChunk StoredChunk::to(at::Device device) const {
  StoredChunk there{key.to(device), value.to(device), {}, {}};
  if (key_scales.defined()) {
    there.key_scales = key_scales.to(device);
    there.value_scales = value_scales.to(device);
  }
  return there;
}

void StoredChunk::widen_to(at::Tensor& to_key, at::Tensor& to_value) const {
  const StoredChunk there = to(to_key.device());
  if (!there.key_scales.defined()) {
    to_key.copy_(there.key);
    to_value.copy_(there.value);
    return;
  }
  to_key.copy_(there.key * there.key_scales.unsqueeze(-1));
  to_value.copy_(there.value * there.value_scales.unsqueeze(-1));
}

}  // namespace lookback
