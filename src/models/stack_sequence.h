// A text between tokens in a stack of layers: what its layers keep.
#pragma once

#include <memory>
#include <vector>

#include "models/layer_stack.h"

namespace lookback {

// LayerStack::advance moves it on.
class StackSequence : public Sequence {
 public:
  StackSequence(const LayerStack& model, const at::TensorOptions& options);

  std::unique_ptr<Sequence> fork() const override;
  std::int64_t memory_bytes() const override;
  std::int64_t window_bytes() const override;

  // The layer forgets what it has seen.
  void reset_layer(std::size_t layer);

  std::vector<std::unique_ptr<LayerState>> layers;
  std::vector<at::Tensor> convolved;  // the last positions before each convolution [fewer than conv_kernel, d]

 protected:
  void save_state(NamedTensors& state) const override;
  void restore_state(StateReader& reader) override;

 private:
  StackSequence(const StackSequence& other);

  const LayerStack& model_;
};

}  // namespace lookback
