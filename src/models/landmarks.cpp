#include "models/landmarks.h"

namespace lookback {

at::Tensor insert_landmarks(const at::Tensor& input_ids, const ModelConfig& config) {
  const at::Tensor chunks = input_ids.unflatten(1, {-1, config.chunk_size});
  return at::constant_pad_nd(chunks, {0, 1}, config.landmark_id).flatten(1, 2);
}

std::int64_t count_positions(std::int64_t num_tokens, const ModelConfig& config) {
  return num_tokens + num_tokens / config.chunk_size;
}

at::Tensor continue_with_landmarks(const at::Tensor& ids, std::int64_t first_token, const ModelConfig& config) {
  const std::int64_t first_slot = first_token % config.chunk_size;
  const std::int64_t end_slot = first_slot + ids.size(0);
  const std::int64_t missing = (config.chunk_size - end_slot % config.chunk_size) % config.chunk_size;
  const at::Tensor on_grid = at::constant_pad_nd(ids.unsqueeze(0), {first_slot, missing}, 0);
  return insert_landmarks(on_grid, config)
      .squeeze(0)
      .narrow(0, first_slot, count_positions(end_slot, config) - first_slot);
}

}  // namespace lookback
