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

FetchedChunks ChunkMemory::fetch(const at::Tensor& indices, const ArchiveSet& archived) const {
  // Sorted: archived chunks first, and those of a part side by side.
  const at::Tensor wanted = std::get<0>(at::_unique(indices.masked_select(indices.ge(0))));
  if (wanted.size(0) == 0) return {{}, {}, indices};
  const at::Tensor wanted_on_host = wanted.cpu();
  const auto* const chunks = wanted_on_host.const_data_ptr<std::int64_t>();
  const std::int64_t num_wanted = wanted.size(0);
  // A sequence that retrieves has a chunk of its own.
  const Block& like = parts_.front().rows;
  FetchedChunks fetched{with_rows(like.key, num_wanted), with_rows(like.value, num_wanted), {}};
  std::int64_t begin = 0;
  for (; begin < num_wanted && chunks[begin] < archived.num_chunks(); ++begin) {
    at::Tensor key = fetched.key.select(0, begin);
    at::Tensor value = fetched.value.select(0, begin);
    archived.read(chunks[begin], key, value);
  }
  while (begin < num_wanted) {
    const Part& part = part_of(chunks[begin] - archived.num_chunks());
    const std::int64_t part_begin = archived.num_chunks() + part.first_chunk;
    const auto* const end = std::lower_bound(chunks + begin, chunks + num_wanted, part_begin + part.num_chunks);
    const std::int64_t count = end - (chunks + begin);
    const at::Tensor rows = wanted.narrow(0, begin, count) - part_begin;
    at::Tensor key = fetched.key.narrow(0, begin, count);
    at::Tensor value = fetched.value.narrow(0, begin, count);
    at::index_select_out(key, part.rows.key, 0, rows);
    at::index_select_out(value, part.rows.value, 0, rows);
    begin += count;
  }
  fetched.indices = at::searchsorted(wanted, indices.clamp_min(0).contiguous()).masked_fill(indices.lt(0), -1);
  return fetched;
}

}  // namespace lookback
