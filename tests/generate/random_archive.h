// Chunks from nowhere, for sessions to retrieve.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "core/random.h"
#include "memory/chunk_archive.h"
#include "models/model.h"

namespace lookback {

// Chunks with what a model could have made.
class RandomArchive : public ChunkArchive {
 public:
  RandomArchive(const ModelConfig& config, std::int64_t num_chunks, std::int64_t num_more = 0)
      : key_(made({num_chunks, config.chunk_size, config.num_heads, config.head_dim()}, 1, num_more)),
        value_(made({num_chunks, config.chunk_size, config.num_heads, config.head_dim()}, 2, num_more)),
        landmarks_(made({num_chunks, config.hidden_size}, 3, num_more)) {}
  std::int64_t num_chunks() const override { return key_.size(0); }
  at::Tensor landmarks() const override { return landmarks_; }
  void read(std::int64_t chunk, at::Tensor& key, at::Tensor& value) const override {
    key.copy_(key_[chunk]);
    value.copy_(value_[chunk]);
  }
  EncodedChunks all() const { return {key_.unsqueeze(0), value_.unsqueeze(0), landmarks_.unsqueeze(0)}; }

 private:
  // Those behind the first `shape[0]` have landmarks that score below all others.
  static at::Tensor made(std::vector<std::int64_t> shape, std::uint64_t seed, std::int64_t num_more) {
    Random random(seed);
    at::Tensor values = at::empty(shape, at::kFloat);
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      values.mutable_data_ptr<float>()[i] = static_cast<float>(random.normal());
    }
    shape[0] = num_more;
    return at::cat({values, at::zeros(shape)});
  }
  at::Tensor key_, value_, landmarks_;
};

}  // namespace lookback
