// What a stored memory says of itself, and how its chunks lie in bytes.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "memory/stored_chunk.h"

namespace lookback {

enum class MemoryElements { float32, bfloat16, int8 };

at::ScalarType scalar_type(MemoryElements elements);

// "float32", "bfloat16", "int8".
std::string_view memory_elements_name(MemoryElements elements);
// Throws Error naming the three.
MemoryElements parse_memory_elements(std::string_view name);

// What all chunks of a memory share. A memory serves only the model and tokenizer that it was made with.
struct MemoryFormat {
  std::string model_fingerprint;
  std::string tokenizer_fingerprint;  // empty: made from token ids
  std::int64_t chunk_size = 0;        // S, tokens
  std::int64_t num_vectors = 0;       // M, keys and values that a chunk is remembered by: S unless compressed
  std::int64_t num_heads = 0;         // H
  std::int64_t head_dim = 0;          // D
  std::int64_t hidden_size = 0;       // d, of a landmark
  MemoryElements elements = MemoryElements::float32;
  std::int64_t pad_id = 0;  // fills a document's last chunk

  std::int64_t chunk_elements() const { return num_vectors * num_heads * head_dim; }
  // Of one chunk's keys and values, with int8 their scales.
  std::int64_t chunk_bytes() const;

  bool operator==(const MemoryFormat&) const = default;
};

Json to_json(const MemoryFormat& format);
// `source` names the file in errors.
MemoryFormat parse_memory_format(const Json& value, const std::string& source);

// Appends a CPU tensor's elements as they lie in memory.
void append_elements(const at::Tensor& tensor, std::vector<std::byte>& bytes);

// The bytes of one chunk: keys [M, H, D], values [M, H, D], with int8 the float32 scales of both [2, M, H]; an int8
// element stands for element * scale, scale = largest magnitude of its D / 127. Little-endian.
// key, value [M, H, D] of any floating type.
std::vector<std::byte> encode_chunk(const at::Tensor& key, const at::Tensor& value, MemoryElements elements);
// A copy of what lies there.
StoredChunk parse_chunk(std::span<const std::byte> bytes, const MemoryFormat& format);

}  // namespace lookback
