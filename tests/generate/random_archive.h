// Chunks from nowhere, for sessions to retrieve.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/random.h"
#include "memory/chunk_archive.h"
#include "memory/memory_format.h"
#include "models/model.h"

namespace lookback {

// Chunks with what a model could have made, as a memory file of these elements has them.
class RandomArchive : public ChunkArchive {
 public:
  RandomArchive(const ModelConfig& config, std::int64_t num_chunks, std::int64_t num_more = 0,
                MemoryElements elements = MemoryElements::float32)
      : key_(made({num_chunks, config.chunk_size, config.num_heads, config.head_dim()}, 1, num_more)),
        value_(made({num_chunks, config.chunk_size, config.num_heads, config.head_dim()}, 2, num_more)),
        landmarks_(made({num_chunks, config.hidden_size}, 3, num_more)) {
    MemoryFormat format;
    format.num_vectors = config.chunk_size;
    format.num_heads = config.num_heads;
    format.head_dim = config.head_dim();
    format.elements = elements;
    for (std::int64_t i = 0; i < key_.size(0); ++i) {
      const std::vector<std::byte> bytes = encode_chunk(key_[i], value_[i], elements);
      chunks_.push_back(std::make_shared<const StoredChunk>(parse_chunk(bytes, format)));
      // What the elements stand for.
      at::Tensor key = key_[i];
      at::Tensor value = value_[i];
      chunks_.back()->widen_to(key, value);
    }
  }
  std::int64_t num_chunks() const override { return key_.size(0); }
  at::Tensor landmarks() const override { return landmarks_; }
  at::ScalarType element_type() const override { return chunks_.front()->key.scalar_type(); }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    return chunks_.at(static_cast<std::size_t>(index));
  }
  // Of float32 numbers, those that the elements stand for.
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
  std::vector<std::shared_ptr<const StoredChunk>> chunks_;
};

}  // namespace lookback
