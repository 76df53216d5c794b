// A sequence's state as named tensors, and the checks of one that comes from a file (where it is called a session).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "memory/chunk_memory.h"
#include "models/config.h"
#include "nn/safetensors.h"
#include "nn/window_cache.h"

namespace lookback {

// Appends the rows that a window still sees as <name>.key and <name>.value, if there are any.
void save_window(NamedTensors& state, const std::string& name, const WindowCache& cache, std::int64_t window_size);

// Appends the chunks as <name>.<i>.key, .value and .landmarks, i counting the blocks in which they lie.
void save_chunks(NamedTensors& state, const std::string& name, const ChunkMemory& chunks);

class StateReader;

// The positions before a short convolution [fewer than conv_kernel, d], as <name> has them.
at::Tensor take_convolved(StateReader& reader, const std::string& name, const ModelConfig& config);

// Takes tensors out of a state by name, comparing what is found with what the model needs.
class StateReader {
 public:
  // options: element type and device of the sequence.
  StateReader(const NamedTensors& state, at::TensorOptions options);

  bool has(const std::string& name) const { return tensors_.contains(name); }
  // On the model's device; -1 in a shape stands for any size. Throws Error when it is missing or has another shape or
  // type (floating tensors: that of the options).
  at::Tensor take(const std::string& name, at::IntArrayRef shape);
  at::Tensor take(const std::string& name, at::IntArrayRef shape, at::ScalarType type);
  at::Tensor take_integers(const std::string& name, at::IntArrayRef shape);
  std::int64_t take_count(const std::string& name);
  WindowCache take_window(const std::string& name, std::int64_t window_size, std::int64_t num_kv_heads,
                          std::int64_t head_dim);
  // num_chunks chunks: keys and values [C, positions, heads, D], landmarks [C, d].
  ChunkMemory take_chunks(const std::string& name, std::int64_t num_chunks, at::IntArrayRef key_shape,
                          std::int64_t landmark_size);
  // Throws Error when something is left, which another model has put there.
  void finish() const;

 private:
  std::map<std::string, at::Tensor> tensors_;
  at::TensorOptions options_;
};

}  // namespace lookback
