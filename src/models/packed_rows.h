// Several sequences' new positions one after another in one matrix, so that all that works row by row takes them at
// once, whatever their lengths.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

namespace lookback {

// ids [T] on the host, not copied: no operator writes to its input ids.
at::Tensor ids_tensor(std::span<const std::int64_t> ids);

// Matrices one below the other; one alone is not copied.
at::Tensor join_rows(const std::vector<at::Tensor>& matrices);

}  // namespace lookback
