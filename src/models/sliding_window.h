// The baseline without memory: Llama layers whose attention sees a window (golden/sliding-window; docs/tasks.md).
#pragma once

#include <vector>

#include "models/model.h"
#include "nn/layers.h"

namespace lookback {

class SlidingWindowModel : public Model {
 public:
  SlidingWindowModel(const ModelConfig& config, at::Device device, std::uint64_t seed);

  at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) override;
  std::unique_ptr<Session> new_session(std::int64_t batch_size, at::ScalarType dtype) override;

 private:
  friend class SlidingWindowSession;

  std::vector<LlamaLayer> layers_;
  RmsNorm norm_;
};

}  // namespace lookback
