#include "models/attention_window.h"

#include "models/packed_rows.h"

namespace lookback {

AttentionWindow attention_window(const ModelConfig& config, const std::vector<PositionRange>& rows,
                                 const at::TensorOptions& options) {
  AttentionWindow window;
  window.size = config.window_size;
  if (config.window_positions == WindowPositions::alibi) return window;
  window.bias = PositionBias::none;
  if (config.window_positions == WindowPositions::none) return window;
  std::vector<at::Tensor> positions;
  for (const PositionRange& range : rows) {
    positions.push_back(at::arange(range.first, range.first + range.count, options.dtype(at::kLong)));
  }
  window.rotation = make_rotary_table(join_rows(positions), config.head_dim(), config.rope_theta, options);
  return window;
}

}  // namespace lookback
