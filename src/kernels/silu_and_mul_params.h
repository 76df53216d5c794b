// The border between the operator silu(gate) * up and its kernels.
#pragma once

namespace lookback {

// As many elements each, contiguous.
struct SiluAndMulParams {
  const float* gate = nullptr;
  const float* up = nullptr;
};

struct SiluAndMulGradients {
  const float* grad_output = nullptr;
  float* grad_gate = nullptr;
  float* grad_up = nullptr;
};

}  // namespace lookback
