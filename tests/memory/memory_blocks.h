// Chunks whose every element follows from where they lie, for tests of stored memories.
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>

#include "memory/memory_writer.h"
#include "memory/stored_memory.h"

namespace lookback {

inline MemoryFormat small_format(MemoryElements elements = MemoryElements::float32) {
  return {.model_fingerprint = "0123456789abcdef",
          .tokenizer_fingerprint = "fedcba9876543210",
          .chunk_size = 5,
          .num_vectors = 4,
          .num_heads = 2,
          .head_dim = 8,
          .hidden_size = 16,
          .elements = elements,
          .pad_id = 3};
}

// `count` chunks of a document, from its chunk `first` on; seed: of the document.
inline ChunkBlock random_block(const MemoryFormat& format, std::uint64_t seed, std::int64_t first, std::int64_t count) {
  ChunkBlock block;
  std::vector<at::Tensor> keys, values, landmarks, ids;
  for (std::int64_t i = first; i < first + count; ++i) {
    at::Generator generator = at::detail::createCPUGenerator(seed * 1'000'003 + static_cast<std::uint64_t>(i));
    const std::vector<std::int64_t> shape = {format.num_vectors, format.num_heads, format.head_dim};
    keys.push_back(at::randn(shape, generator));
    values.push_back(at::randn(shape, generator));
    landmarks.push_back(at::randn({format.hidden_size}, generator));
    ids.push_back(at::randint(0, 100, {format.chunk_size}, generator, at::kLong));
    block.text_begins.push_back(static_cast<std::uint64_t>(7 * i));
  }
  block.key = at::stack(keys);
  block.value = at::stack(values);
  block.landmarks = at::stack(landmarks);
  block.token_ids = at::stack(ids);
  return block;
}

// A document of `blocks` blocks of `chunks` chunks each, finished but not committed.
inline std::uint64_t write_document(MemoryWriter& writer, const MemoryFormat& format, const std::string& name,
                                    std::int64_t blocks, std::int64_t chunks) {
  const std::uint64_t id = writer.begin_document(name, "source of " + name);
  for (std::int64_t b = 0; b < blocks; ++b) {
    writer.append(id, encode_block(random_block(format, id, b * chunks, chunks), format), chunks * format.chunk_size,
                  7 * chunks);
  }
  writer.finish_document(id);
  return id;
}

// A document whose name is the seed of its content, finished but not committed.
inline std::uint64_t write_seeded(MemoryWriter& writer, const MemoryFormat& format, std::uint64_t seed,
                                  std::int64_t blocks, std::int64_t chunks) {
  const std::uint64_t id = writer.begin_document(std::to_string(seed), "");
  for (std::int64_t b = 0; b < blocks; ++b) {
    writer.append(id, encode_block(random_block(format, seed, b * chunks, chunks), format), chunks * format.chunk_size,
                  7 * chunks);
  }
  writer.finish_document(id);
  return id;
}

// Whether all that is read of a memory of such documents is what was written: keys, values, landmarks and texts.
inline bool holds_what_was_written(const StoredMemory& memory) {
  std::int64_t chunk = 0;
  at::Tensor key = at::empty({memory.format().num_vectors, memory.format().num_heads, memory.format().head_dim});
  at::Tensor value = at::empty_like(key);
  for (const MemoryDocument& document : memory.documents()) {
    const ChunkBlock wanted = random_block(memory.format(), std::stoull(document.name), 0, document.num_chunks);
    for (std::int64_t i = 0; i < document.num_chunks; ++i, ++chunk) {
      memory.chunk(chunk)->widen_to(key, value);
      const ChunkOrigin origin = memory.origin(chunk);
      if (!key.equal(wanted.key[i]) || !value.equal(wanted.value[i]) || origin.chunk != i ||
          !memory.landmarks()[chunk].equal(wanted.landmarks[i]) || origin.document != document.id ||
          !at::tensor(origin.token_ids, at::kLong).equal(wanted.token_ids[i])) {
        return false;
      }
    }
  }
  return chunk == memory.num_chunks();
}

// Makes a catalog the file's current state, whatever it says.
inline void commit_catalog(MemoryFile& file, const CatalogChange& change) {
  const std::uint64_t place = whole_pages(std::max(file.size(), memory_headers_bytes));
  std::vector<std::byte> bytes = serialize(change);
  MemoryState state{MemoryState::Layout::catalog, file.state().number + 1, place, bytes.size()};
  bytes.resize(whole_pages(bytes.size()));
  state.end = place + bytes.size();
  file.write(place, bytes);
  file.commit(state);
}

}  // namespace lookback
