// The window that a model's configuration asks for.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "models/config.h"
#include "nn/layers.h"

namespace lookback {

// Positions of one text that follow each other.
struct PositionRange {
  std::int64_t first = 0, count = 0;
};

// For a pass over rows at these positions, one range after another; options: element type and device of the rows. Of a
// text that is read in parts, the positions may count from any of its places: what attention gives depends on their
// distances alone.
AttentionWindow attention_window(const ModelConfig& config, const std::vector<PositionRange>& rows,
                                 const at::TensorOptions& options);

}  // namespace lookback
