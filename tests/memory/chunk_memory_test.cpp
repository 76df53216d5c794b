#include "memory/chunk_memory.h"

#include <gtest/gtest.h>

namespace lookback {
namespace {

// Chunk c of sequence n holds the number 10000 n + c everywhere.
at::Tensor numbered(std::int64_t batch, std::int64_t begin, std::int64_t end, at::IntArrayRef inner) {
  const at::Tensor numbers = at::arange(batch, at::kFloat).view({-1, 1}) * 10000 + at::arange(begin, end, at::kFloat);
  std::vector<std::int64_t> shape = {batch, end - begin};
  std::vector<std::int64_t> ones = shape;
  for (const std::int64_t size : inner) {
    shape.push_back(size);
    ones.push_back(1);
  }
  return numbers.view(ones).expand(shape);
}

ChunkMemory filled(std::int64_t batch, std::int64_t total, std::int64_t step) {
  ChunkMemory memory;
  for (std::int64_t begin = 0; begin < total; begin += step) {
    const std::int64_t end = std::min(total, begin + step);
    memory.append(numbered(batch, begin, end, {3, 2, 4}), -numbered(batch, begin, end, {3, 2, 4}),
                  numbered(batch, begin, end, {8}));
  }
  return memory;
}

TEST(ChunkMemory, KeepsChunksInOrderOverBlockEnds) {
  for (const std::int64_t step : {1, 700, 5000}) {
    const ChunkMemory memory = filled(2, 2500, step);
    EXPECT_EQ(memory.num_chunks(), 2500);
    ASSERT_EQ(memory.landmarks().size(), 1U);
    EXPECT_TRUE(at::equal(memory.landmarks()[0], numbered(2, 0, 2500, {8})));
  }
}

TEST(ChunkMemory, FetchesEachWantedChunkOnce) {
  const ChunkMemory memory = filled(2, 2500, 999);
  const at::Tensor wanted = at::tensor({2499, 3, -1, 1023, 1024, 3, 0, -1}, at::kLong).view({2, 2, 2});
  const FetchedChunks found = memory.fetch(wanted);
  EXPECT_EQ(found.key.size(1), 5);  // 0, 3, 1023, 1024, 2499
  for (std::int64_t n = 0; n < 2; ++n) {
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto chunk = wanted[n].flatten()[i].item<std::int64_t>();
      const auto row = found.indices[n].flatten()[i].item<std::int64_t>();
      if (chunk < 0) {
        EXPECT_EQ(row, -1);
        continue;
      }
      EXPECT_TRUE(
          found.key[n][row].eq(10000.0 * static_cast<double>(n) + static_cast<double>(chunk)).all().item<bool>());
      EXPECT_TRUE(at::equal(found.value[n][row], -found.key[n][row]));
    }
  }
}

}  // namespace
}  // namespace lookback
