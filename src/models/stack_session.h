// A stack of layers between tokens: of each sequence, what its layers keep.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/layer_stack.h"

namespace lookback {

class StackSession : public Session {
 public:
  // The model must outlive the session.
  StackSession(const LayerStack& model, std::int64_t batch_size, at::ScalarType dtype);

  std::int64_t num_sequences() const override { return static_cast<std::int64_t>(sequences_.size()); }
  at::Tensor append(const at::Tensor& input_ids) override;
  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override;
  void select(const std::vector<std::int64_t>& rows) override;
  std::int64_t num_tokens(std::int64_t sequence) const override;
  std::int64_t memory_bytes() const override;
  std::int64_t window_bytes() const override;
  NamedTensors state() const override;
  void restore(const NamedTensors& state) override;

 private:
  struct Sequence {
    std::int64_t num_tokens = 0;
    std::vector<std::unique_ptr<LayerState>> layers;
  };
  Sequence new_sequence() const;
  static Sequence copy_of(const Sequence& sequence);

  std::int64_t num_positions(std::int64_t num_tokens) const;

  // Appends counts[n] tokens of row n of input_ids to sequence n and takes them through the first num_layers layers.
  // Returns the last one's output [N, T, d] at the tokens, normed if it is the stack's last.
  at::Tensor advance(const at::Tensor& input_ids, const std::vector<std::int64_t>& counts, std::size_t num_layers);

  // Layers that must see every position: up to the last that looks back to the beginning. And how far those behind
  // them look back together.
  struct Reach {
    std::size_t num_layers_for_all = 0;
    std::int64_t positions = 0;
  };
  Reach reach() const;

  const LayerStack& model_;
  at::TensorOptions options_;  // element type and device
  std::vector<Sequence> sequences_;
};

}  // namespace lookback
