#include "memory/chunk_memory.h"

#include <ATen/ops/_unique.h>

#include <algorithm>

#include "core/error.h"

namespace lookback {
namespace {

constexpr std::int64_t chunks_a_block = 1024;

at::Tensor like_block(const at::Tensor& chunks) {
  std::vector<std::int64_t> shape = chunks.sizes().vec();
  shape[1] = chunks_a_block;
  return at::empty(shape, chunks.options());
}

}  // namespace

void ChunkMemory::attach(std::shared_ptr<const ChunkArchive> archive) {
  require(num_own_ == 0, "a stored memory is attached before the text begins");
  num_archived_ += archive->num_chunks();
  archives_.push_back(std::move(archive));
}

void ChunkMemory::append(const at::Tensor& key, const at::Tensor& value, const at::Tensor& landmarks) {
  std::int64_t done = 0;
  while (done < key.size(1)) {
    const std::int64_t filled = num_own_ % chunks_a_block;
    if (num_own_ == 0) {
      for (const auto& archive : archives_) {
        if (archive->num_chunks() > 0)
          archived_landmarks_.push_back(archive->landmarks().to(key.device()).unsqueeze(0));
      }
    }
    if (filled == 0) blocks_.push_back({like_block(key), like_block(value), like_block(landmarks)});
    Block& block = blocks_.back();
    const std::int64_t count = std::min(key.size(1) - done, chunks_a_block - filled);
    block.key.narrow(1, filled, count).copy_(key.narrow(1, done, count));
    block.value.narrow(1, filled, count).copy_(value.narrow(1, done, count));
    block.landmarks.narrow(1, filled, count).copy_(landmarks.narrow(1, done, count));
    done += count;
    num_own_ += count;
  }
}

std::int64_t ChunkMemory::bytes() const {
  if (blocks_.empty()) return 0;
  const Block& block = blocks_.front();
  const std::size_t block_bytes = block.key.nbytes() + block.value.nbytes() + block.landmarks.nbytes();
  return static_cast<std::int64_t>(block_bytes) / chunks_a_block * num_own_;
}

std::vector<at::Tensor> ChunkMemory::landmarks() const {
  require(num_own_ > 0, "the chunk memory is empty");
  std::vector<at::Tensor> own;
  own.reserve(blocks_.size());
  for (const Block& block : blocks_) own.push_back(block.landmarks);
  std::vector<at::Tensor> parts;
  for (const at::Tensor& landmarks : archived_landmarks_) {
    parts.push_back(landmarks.expand({own.front().size(0), -1, -1}));
  }
  parts.push_back(at::cat(own, 1).narrow(1, 0, num_own_));
  return parts;
}

void ChunkMemory::fetch_archived(std::int64_t chunk, std::vector<at::Tensor>& keys,
                                 std::vector<at::Tensor>& values) const {
  const ArchivedChunk place = locate_chunk(archives_, chunk);
  const at::Tensor& like = blocks_.front().key;  // [N, chunks_a_block, S, H, D]
  at::Tensor key = at::empty(like.sizes().slice(2), like.options());
  at::Tensor value = at::empty_like(key);
  archives_[place.archive]->read(place.chunk, key, value);
  keys.push_back(key.expand_as(like.select(1, 0)).unsqueeze(1));
  values.push_back(value.expand_as(like.select(1, 0)).unsqueeze(1));
}

FetchedChunks ChunkMemory::fetch(const at::Tensor& indices) const {
  require(num_own_ > 0, "the chunk memory is empty");
  // Sorted. A batch fetches the union of what its sequences ask for, so that one index serves all of them.
  const at::Tensor wanted = std::get<0>(at::_unique(indices.clamp_min(0)));
  const at::Tensor position = at::searchsorted(wanted, indices.clamp_min(0).contiguous());
  const at::Tensor wanted_on_host = wanted.cpu();
  const auto* const wanted_chunks = wanted_on_host.const_data_ptr<std::int64_t>();
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  std::int64_t begin = 0;
  for (; begin < wanted.size(0) && wanted_chunks[begin] < num_archived_; ++begin) {
    fetch_archived(wanted_chunks[begin], keys, values);
  }
  while (begin < wanted.size(0)) {
    const std::int64_t block = (wanted_chunks[begin] - num_archived_) / chunks_a_block;
    const std::int64_t block_begin = num_archived_ + block * chunks_a_block;
    const auto* const end =
        std::lower_bound(wanted_chunks + begin, wanted_chunks + wanted.size(0), block_begin + chunks_a_block);
    const std::int64_t count = end - (wanted_chunks + begin);
    const at::Tensor rows = wanted.narrow(0, begin, count) - block_begin;
    keys.push_back(blocks_[static_cast<std::size_t>(block)].key.index_select(1, rows));
    values.push_back(blocks_[static_cast<std::size_t>(block)].value.index_select(1, rows));
    begin += count;
  }
  return {at::cat(keys, 1), at::cat(values, 1), position.masked_fill(indices.lt(0), -1)};
}

}  // namespace lookback
