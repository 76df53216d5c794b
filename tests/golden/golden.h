// Comparison with golden folders: numbers that a float64 reference gave for a model (tests/fixtures/golden).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lookback {

// One measured deviation and the bound that it must keep.
struct Deviation {
  std::string name;
  double value = 0;
  double limit = 0;
  bool within() const { return value <= limit; }  // false for NaN
};

// A folder is of one of three shapes:
//  - config.json, model.safetensors, expected.safetensors (input_ids, labels, logits, loss, retrieval.*, grad.*): one
//    forward and backward pass is compared;
//  - config.json, model.safetensors, batches.safetensors, expected.json: optimizer steps are repeated, and the loss
//    and gradient norm of each are compared;
//  - expected.safetensors alone (block_size, query, key, value, output, probabilities, grad_*): landmark attention.
// All in float32 on the CPU. Throws Error for a folder of another shape.
std::vector<Deviation> compare_with_golden(const std::filesystem::path& folder);

}  // namespace lookback
