// AdamW over a model's parameters, in one pass a group (LibTorch's fused kernel).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nn/parameters.h"
#include "nn/safetensors.h"
#include "train/train_config.h"

namespace lookback {

// PyTorch's AdamW: parameters of two or more dimensions decay, the others do so only with decay_all_parameters. A
// parameter without a gradient is left alone, its moments and its step count too.
class AdamW {
 public:
  // The parameters must outlive the optimizer.
  AdamW(ParameterSet& parameters, const TrainConfig& config);

  // One update by the gradients that are there. skip: a scalar float32 on the parameters' device, 1 where everything is
  // to stay as it is, else 0; undefined: 0.
  void step(double learning_rate, const at::Tensor& skip = {});

  // Moments and step counts by name ("exp_avg.<parameter>", "exp_avg_sq.<parameter>", "step.<parameter>").
  NamedTensors state() const;
  // Copies them back. Throws Error naming `source` and the tensor that is missing or has another shape.
  void restore(const NamedTensors& state, const std::string& source);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor exp_avg, exp_avg_sq;  // moments, like the parameter
    at::Tensor step;                 // scalar float32
    bool decays = true;
  };
  void update(const std::vector<Slot*>& slots, double learning_rate, double weight_decay, const at::Tensor& skip) const;

  TrainConfig config_;
  std::vector<Slot> slots_;
};

}  // namespace lookback
