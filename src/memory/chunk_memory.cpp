#include "memory/chunk_memory.h"

#include <ATen/ops/_unique.h>

#include <algorithm>
#include <iterator>

namespace lookback {
namespace {

constexpr std::int64_t smallest_part = 16;  // chunks
constexpr std::int64_t largest_part = 1024;

at::Tensor with_rows(const at::Tensor& like, std::int64_t num_rows) {
  std::vector<std::int64_t> shape = like.sizes().vec();
  shape[0] = num_rows;
  return at::empty(shape, like.options());
}

// Copies the elements of an archived chunk to place i of those that were fetched.
void copy_stored(const StoredChunk& chunk, std::int64_t i, FetchedChunks& to) {
  at::Tensor key = to.key.select(0, i);
  at::Tensor value = to.value.select(0, i);
  if (!to.key_scales.defined()) {
    chunk.widen_to(key, value);
    return;
  }
  key.copy_(chunk.key);
  value.copy_(chunk.value);
  to.key_scales.select(0, i).copy_(chunk.key_scales);
  to.value_scales.select(0, i).copy_(chunk.value_scales);
}

ChunkMemory::Block narrow(const ChunkMemory::Block& block, std::int64_t begin, std::int64_t count) {
  return {block.key.narrow(0, begin, count), block.value.narrow(0, begin, count),
          block.landmarks.narrow(0, begin, count)};
}

}  // namespace

void ChunkMemory::append(const Block& chunks) {
  const std::int64_t total = chunks.key.size(0);
  for (std::int64_t done = 0; done < total;) {
    if (!may_fill_last_ || parts_.back().num_chunks == parts_.back().rows.key.size(0)) {
      const std::int64_t capacity = std::clamp(std::max(num_chunks_, total), smallest_part, largest_part);
      parts_.push_back(
          {{with_rows(chunks.key, capacity), with_rows(chunks.value, capacity), with_rows(chunks.landmarks, capacity)},
           num_chunks_,
           0});
      may_fill_last_ = true;
    }
    Part& part = parts_.back();
    const std::int64_t count = std::min(total - done, part.rows.key.size(0) - part.num_chunks);
    const Block to = narrow(part.rows, part.num_chunks, count);
    const Block from = narrow(chunks, done, count);
    to.key.copy_(from.key);
    to.value.copy_(from.value);
    to.landmarks.copy_(from.landmarks);
    part.num_chunks += count;
    num_chunks_ += count;
    done += count;
  }
}

std::int64_t ChunkMemory::bytes() const {
  std::size_t sum = 0;
  for (const Block& block : blocks()) sum += block.key.nbytes() + block.value.nbytes() + block.landmarks.nbytes();
  return static_cast<std::int64_t>(sum);
}

std::vector<ChunkMemory::Block> ChunkMemory::blocks() const {
  std::vector<Block> blocks;
  blocks.reserve(parts_.size());
  for (const Part& part : parts_) blocks.push_back(narrow(part.rows, 0, part.num_chunks));
  return blocks;
}

ChunkMemory ChunkMemory::fork() const {
  ChunkMemory memory;
  memory.parts_ = parts_;
  memory.num_chunks_ = num_chunks_;
  return memory;
}

const ChunkMemory::Part& ChunkMemory::part_of(std::int64_t chunk) const {
  return *std::prev(std::ranges::upper_bound(parts_, chunk, {}, &Part::first_chunk));
}

FetchedChunks ChunkMemory::copy_chunks(std::span<const std::int64_t> chunks, const at::Tensor& rows,
                                       const ArchiveSet& archived, at::ScalarType type) const {
  const std::int64_t num_wanted = std::ssize(chunks);
  const at::Tensor like = parts_.front().rows.key;
  std::vector<std::int64_t> shape = like.sizes().vec();
  shape[0] = num_wanted;
  const at::TensorOptions options = like.options().dtype(type);
  FetchedChunks copies{at::empty(shape, options), at::empty(shape, options), {}, {}, {}};
  if (type == at::kChar) {
    shape.pop_back();
    copies.key_scales = at::empty(shape, options.dtype(at::kFloat));
    copies.value_scales = at::empty(shape, options.dtype(at::kFloat));
  }
  std::int64_t begin = 0;
  for (; begin < num_wanted && chunks[begin] < archived.num_chunks(); ++begin) {
    copy_stored(*archived.chunk(chunks[begin]), begin, copies);
  }
  while (begin < num_wanted) {
    const Part& part = part_of(chunks[begin] - archived.num_chunks());
    const std::int64_t part_begin = archived.num_chunks() + part.first_chunk;
    const auto end = std::ranges::lower_bound(chunks.subspan(begin), part_begin + part.num_chunks);
    const std::int64_t count = end - chunks.subspan(begin).begin();
    const at::Tensor part_rows = rows.narrow(0, begin, count) - part_begin;
    at::Tensor key = copies.key.narrow(0, begin, count);
    at::Tensor value = copies.value.narrow(0, begin, count);
    at::index_select_out(key, part.rows.key, 0, part_rows);
    at::index_select_out(value, part.rows.value, 0, part_rows);
    begin += count;
  }
  return copies;
}

std::vector<FetchedChunks> ChunkMemory::fetch(const at::Tensor& indices, const ArchiveSet& archived,
                                              bool as_stored) const {
  // Sorted: archived chunks first, and those of an archive or a part side by side.
  const at::Tensor wanted = std::get<0>(at::_unique(indices.masked_select(indices.ge(0))));
  if (wanted.size(0) == 0) return {};
  const at::Tensor wanted_on_host = wanted.cpu();
  const std::span chunks(wanted_on_host.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(wanted.size(0)));
  // A sequence that retrieves has a chunk of its own.
  const at::ScalarType own_type = parts_.front().rows.key.scalar_type();
  const auto type_of = [&](std::int64_t chunk) {
    return as_stored && chunk < archived.num_chunks() ? archived.element_type(chunk) : own_type;
  };
  const at::Tensor places = at::searchsorted(wanted, indices.clamp_min(0).contiguous());
  std::vector<FetchedChunks> fetched;
  for (std::int64_t begin = 0; begin < std::ssize(chunks);) {
    const at::ScalarType type = type_of(chunks[begin]);
    const auto rest = chunks.subspan(begin);
    const std::int64_t count =
        std::ranges::find_if(rest, [&](std::int64_t chunk) { return type_of(chunk) != type; }) - rest.begin();
    fetched.push_back(copy_chunks(rest.first(count), wanted.narrow(0, begin, count), archived, type));
    const at::Tensor is_elsewhere = indices.lt(0).logical_or(places.lt(begin)).logical_or(places.ge(begin + count));
    fetched.back().indices = (places - begin).masked_fill(is_elsewhere, -1);
    begin += count;
  }
  return fetched;
}

}  // namespace lookback
