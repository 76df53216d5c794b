// Models that are a stack of layers between the embedding and the last norm: such a model is its layers alone, and all
// else (whole forward, sequences that grow, their files) is here. docs/adding-a-model.md shows one.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/model.h"
#include "models/session_state.h"
#include "nn/layers.h"
#include "nn/short_convolution.h"

namespace lookback {

// What a layer keeps of one sequence between steps.
class LayerState {
 public:
  virtual ~LayerState() = default;

  // One that goes on from here by itself; what is never written to may be shared.
  virtual std::unique_ptr<LayerState> copy() const = 0;

  // Bytes that grow with the text, and those that do not.
  virtual std::int64_t memory_bytes() const { return 0; }
  virtual std::int64_t window_bytes() const = 0;

  // Its tensors, under names that begin with `name`; restore() takes them into a new state, of a sequence that has
  // num_positions positions. Throws Error for what does not fit.
  virtual void save(NamedTensors& state, const std::string& name) const = 0;
  virtual void restore(StateReader& reader, const std::string& name, std::int64_t num_positions) = 0;
};

// New positions of one sequence: rows of a matrix that holds those of several.
struct StepRows {
  std::int64_t first_row = 0, num_rows = 0;
  std::int64_t first_position = 0;  // in its sequence
  LayerState* state = nullptr;      // of the layer's own kind; moves on
};

class StackLayer {
 public:
  virtual ~StackLayer() = default;

  // x [N, T, d], whole sequences -> the same shape; position i sees none behind i. window: of the T positions.
  // training: differs only where a paper's model trains otherwise than it is used.
  virtual at::Tensor forward(const at::Tensor& x, const AttentionWindow& window, bool training) const = 0;

  // The same (training: false) where x [R, d] holds the next positions of several sequences one after another; window:
  // of these R.
  virtual at::Tensor step(const at::Tensor& x, const AttentionWindow& window,
                          const std::vector<StepRows>& sequences) const = 0;

  // options: element type and device of the sequence.
  virtual std::unique_ptr<LayerState> new_state(const at::TensorOptions& options) const = 0;

  // How many positions back its output looks; nullopt: to the beginning.
  virtual std::optional<std::int64_t> reach() const = 0;
};

using StackLayers = std::vector<std::unique_ptr<StackLayer>>;

// Where config says so, a landmark stands after each chunk of tokens: layers see it as a position like any other, and
// forward() sees whole chunks only.
class LayerStack : public Model {
 public:
  // make_layers makes the layers' parameters, named model.layers.<i>.<...>, and the layers, which may keep references
  // to both.
  using MakeLayers = StackLayers(ParameterSet& parameters, const ModelConfig& config);
  LayerStack(const ModelConfig& config, at::Device device, std::uint64_t seed, MakeLayers& make_layers);

  at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) const override;
  std::unique_ptr<Sequence> new_sequence(at::ScalarType dtype) const override;

 protected:
  at::Tensor advance(std::span<const Piece> pieces) const override;

 private:
  friend class StackSequence;

  // Layers that must see every position: up to the last that looks back to the beginning. And how far those behind
  // them look back together.
  struct Reach {
    std::size_t num_layers_for_all = 0;
    std::int64_t positions = 0;
  };
  Reach reach() const;
  std::int64_t num_positions(std::int64_t num_tokens) const;
  // Takes the tokens through the first num_layers layers: as new positions of the pieces' sequences, which begin
  // first_tokens[i] tokens into piece i. Returns the last layer's output at the tokens [R, d].
  at::Tensor run_layers(std::span<const Piece> pieces, const std::vector<std::int64_t>& first_tokens,
                        std::size_t num_layers) const;

  StackLayers layers_;
  std::vector<ShortConvolution> convolutions_;  // before the first layers
  RmsNorm norm_;
};

// For the registry.
template <LayerStack::MakeLayers& Make>
std::unique_ptr<Model> make_stack(const ModelConfig& config, at::Device device, std::uint64_t seed) {
  return std::make_unique<LayerStack>(config, device, seed, Make);
}

}  // namespace lookback
