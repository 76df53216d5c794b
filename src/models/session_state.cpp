#include "models/session_state.h"

#include <fmt/ranges.h>

#include "core/error.h"

namespace lookback {

void save_window(NamedTensors& state, const std::string& name, const WindowCache& cache, std::int64_t window_size) {
  const WindowCache::View kept = cache.kept(window_size);
  if (!kept.key.defined()) return;
  state.emplace_back(name + ".key", kept.key);
  state.emplace_back(name + ".value", kept.value);
}

void save_chunks(NamedTensors& state, const std::string& name, const ChunkMemory& chunks) {
  const std::vector<ChunkMemory::Block> blocks = chunks.blocks();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string block = name + "." + std::to_string(i);
    state.emplace_back(block + ".key", blocks[i].key);
    state.emplace_back(block + ".value", blocks[i].value);
    state.emplace_back(block + ".landmarks", blocks[i].landmarks);
  }
}

at::Tensor take_convolved(StateReader& reader, const std::string& name, const ModelConfig& config) {
  const at::Tensor rows = reader.take(name, {-1, config.hidden_size});
  require(rows.size(0) < config.conv_kernel, "the session's {}: expected fewer than {} rows, found {}", name,
          config.conv_kernel, rows.size(0));
  return rows;
}

StateReader::StateReader(const NamedTensors& state, at::TensorOptions options)
    : tensors_(state.begin(), state.end()), options_(options) {}

at::Tensor StateReader::take(const std::string& name, at::IntArrayRef shape, at::ScalarType type) {
  const auto found = tensors_.find(name);
  require(found != tensors_.end(), "the session's {} is missing: it is of another model, or damaged", name);
  const at::Tensor tensor = found->second;
  bool fits = tensor.scalar_type() == type && tensor.dim() == static_cast<std::int64_t>(shape.size());
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] < 0 || tensor.size(static_cast<std::int64_t>(i)) == shape[i];
  }
  require(fits, "the session's {}: expected {} [{}] (-1: any), found {} [{}]", name, c10::toString(type),
          fmt::join(shape, ", "), c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ", "));
  tensors_.erase(found);
  return tensor.to(options_.device());
}

at::Tensor StateReader::take(const std::string& name, at::IntArrayRef shape) {
  return take(name, shape, c10::typeMetaToScalarType(options_.dtype()));
}

at::Tensor StateReader::take_integers(const std::string& name, at::IntArrayRef shape) {
  return take(name, shape, at::kLong);
}

std::int64_t StateReader::take_count(const std::string& name) {
  const auto count = take_integers(name, {}).item<std::int64_t>();
  require(count >= 0, "the session's {}: {} is negative", name, count);
  return count;
}

WindowCache StateReader::take_window(const std::string& name, std::int64_t window_size, std::int64_t num_kv_heads,
                                     std::int64_t head_dim) {
  WindowCache cache;
  if (!has(name + ".key")) return cache;
  const at::Tensor key = take(name + ".key", {-1, num_kv_heads, head_dim});
  const at::Tensor value = take(name + ".value", {key.size(0), num_kv_heads, head_dim});
  cache.append(key, value, window_size);
  return cache;
}

ChunkMemory StateReader::take_chunks(const std::string& name, std::int64_t num_chunks, at::IntArrayRef key_shape,
                                     std::int64_t landmark_size) {
  std::vector<std::int64_t> shape = {-1};
  shape.insert(shape.end(), key_shape.begin(), key_shape.end());
  ChunkMemory chunks;
  for (std::size_t i = 0; has(name + "." + std::to_string(i) + ".key"); ++i) {
    const std::string block = name + "." + std::to_string(i);
    const at::Tensor key = take(block + ".key", shape);
    chunks.append({key, take(block + ".value", key.sizes()), take(block + ".landmarks", {key.size(0), landmark_size})});
  }
  require(chunks.num_chunks() == num_chunks, "the session's {} should hold {} chunks, {} are there: it is damaged",
          name, num_chunks, chunks.num_chunks());
  return chunks;
}

void StateReader::finish() const {
  require(tensors_.empty(), "the session's {} is nothing that this model has: it is of another model",
          tensors_.empty() ? "" : tensors_.begin()->first);
}

}  // namespace lookback
