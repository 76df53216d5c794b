#include "memory/chunk_memory.h"

#include <gtest/gtest.h>

#include <memory>

namespace lookback {
namespace {

// Chunk c holds the number c everywhere.
at::Tensor numbered(std::int64_t begin, std::int64_t end, at::IntArrayRef inner) {
  std::vector<std::int64_t> shape = {end - begin};
  std::vector<std::int64_t> ones = shape;
  for (const std::int64_t size : inner) {
    shape.push_back(size);
    ones.push_back(1);
  }
  return at::arange(begin, end, at::kFloat).view(ones).expand(shape);
}

void append(ChunkMemory& memory, std::int64_t begin, std::int64_t end) {
  memory.append({numbered(begin, end, {3, 2, 4}), -numbered(begin, end, {3, 2, 4}), numbered(begin, end, {8})});
}

ChunkMemory filled(std::int64_t total, std::int64_t step) {
  ChunkMemory memory;
  for (std::int64_t begin = 0; begin < total; begin += step) append(memory, begin, std::min(total, begin + step));
  return memory;
}

at::Tensor all_landmarks(const ChunkMemory& memory) {
  std::vector<at::Tensor> parts;
  for (const ChunkMemory::Block& block : memory.blocks()) parts.push_back(block.landmarks);
  return at::cat(parts);
}

// Chunk c of it holds c + first everywhere.
class NumberedArchive : public ChunkArchive {
 public:
  NumberedArchive(std::int64_t first, std::int64_t num_chunks, at::ScalarType element_type = at::kFloat)
      : first_(first), num_chunks_(num_chunks), element_type_(element_type) {}
  std::int64_t num_chunks() const override { return num_chunks_; }
  at::Tensor landmarks() const override { return numbered(first_, first_ + num_chunks_, {8}); }
  at::ScalarType element_type() const override { return element_type_; }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    if (element_type_ != at::kChar) {
      const at::Tensor key = at::full({3, 2, 4}, first_ + index, element_type_);
      return std::make_shared<const StoredChunk>(key, -key);
    }
    // The number is half an element's scale.
    const at::Tensor twos = at::full({3, 2, 4}, 2, at::kChar);
    const at::Tensor scales = at::full({3, 2}, static_cast<double>(first_ + index) / 2, at::kFloat);
    return std::make_shared<const StoredChunk>(twos, -twos, scales, scales);
  }

 private:
  std::int64_t first_, num_chunks_;
  at::ScalarType element_type_;
};

// Each asked-for chunk has the number that number_of says, and each distinct one is there once.
void expect_fetched(const ChunkMemory& memory, const ArchiveSet& archived, const at::Tensor& wanted,
                    std::int64_t num_distinct, const std::function<std::int64_t(std::int64_t)>& number_of) {
  const std::vector<FetchedChunks> all = memory.fetch(wanted, archived, false);
  ASSERT_EQ(all.size(), 1U);
  const FetchedChunks& found = all[0];
  EXPECT_EQ(found.key.size(0), num_distinct);
  EXPECT_EQ(found.indices.sizes(), wanted.sizes());
  for (std::int64_t i = 0; i < wanted.numel(); ++i) {
    const auto chunk = wanted.flatten()[i].item<std::int64_t>();
    const auto row = found.indices.flatten()[i].item<std::int64_t>();
    if (chunk < 0) {
      EXPECT_EQ(row, -1);
      continue;
    }
    EXPECT_TRUE(found.key[row].eq(number_of(chunk)).all().item<bool>()) << chunk;
    EXPECT_TRUE(at::equal(found.value[row], -found.key[row]));
  }
}

TEST(ChunkMemory, KeepsChunksInOrderOverBlockEnds) {
  for (const std::int64_t step : {1, 700, 5000}) {
    const ChunkMemory memory = filled(2500, step);
    EXPECT_EQ(memory.num_chunks(), 2500);
    EXPECT_TRUE(at::equal(all_landmarks(memory), numbered(0, 2500, {8})));
    EXPECT_EQ(memory.bytes(), 2500 * (2 * 3 * 2 * 4 + 8) * 4);
  }
}

TEST(ChunkMemory, FetchesEachWantedChunkOnce) {
  const at::Tensor wanted = at::tensor({2499, 3, -1, 1023, 1024, 3, 0, -1}, at::kLong).view({1, 4, 2});
  for (const std::int64_t step : {1, 999}) {
    expect_fetched(filled(2500, step), ArchiveSet(), wanted, 5, [](std::int64_t chunk) { return chunk; });
  }
  EXPECT_TRUE(filled(10, 10).fetch(at::full({1, 1, 3}, -1, at::kLong), ArchiveSet(), false).empty());
}

TEST(ChunkMemory, ArchivedChunksAreNumberedBeforeItsOwn) {
  ArchiveSet archived;
  archived.attach(std::make_shared<NumberedArchive>(10000, 5));
  archived.attach(std::make_shared<NumberedArchive>(20000, 0));
  archived.attach(std::make_shared<NumberedArchive>(30000, 7));
  EXPECT_EQ(archived.num_chunks(), 12);
  EXPECT_EQ(archived.sizes(), (std::vector<std::int64_t>{5, 0, 7}));
  const at::Tensor wanted = at::tensor({12, 0, 4, 5, 11, 21, -1, 5}, at::kLong).view({1, 2, 4});
  expect_fetched(filled(10, 3), archived, wanted, 6, [](std::int64_t chunk) {
    if (chunk < 5) return 10000 + chunk;
    return chunk < 12 ? 30000 + chunk - 5 : chunk - 12;
  });
}

// Archives of int8, bfloat16 and float32, beside its own float32.
TEST(ChunkMemory, ArchivedChunksKeepTheirElementTypesOrAreWidened) {
  ArchiveSet archived;
  archived.attach(std::make_shared<NumberedArchive>(100, 5, at::kChar));
  archived.attach(std::make_shared<NumberedArchive>(200, 5, at::kBFloat16));
  archived.attach(std::make_shared<NumberedArchive>(300, 5));
  const at::Tensor wanted = at::tensor({4, 14, 18, 6, 1, -1, 7, 4}, at::kLong).view({1, 2, 4});
  expect_fetched(filled(10, 3), archived, wanted, 6,
                 [](std::int64_t chunk) { return chunk < 15 ? 100 * (chunk / 5 + 1) + chunk % 5 : chunk - 15; });

  const std::vector<FetchedChunks> stored = filled(10, 3).fetch(wanted, archived, true);
  ASSERT_EQ(stored.size(), 3U);
  const auto is_at = [&](const FetchedChunks& chunks, const std::vector<std::int64_t>& places) {
    return chunks.indices.equal(at::tensor(places, at::kLong).view({1, 2, 4}));
  };
  EXPECT_TRUE(is_at(stored[0], {1, -1, -1, -1, 0, -1, -1, 1}));
  EXPECT_EQ(stored[0].key.scalar_type(), at::kChar);
  EXPECT_TRUE(stored[0].key.eq(2).all().item<bool>() && stored[0].value.eq(-2).all().item<bool>());
  for (const at::Tensor& scales : {stored[0].key_scales, stored[0].value_scales}) {
    EXPECT_TRUE(scales.equal(at::tensor({50.5F, 52.0F}).view({2, 1, 1}).expand({2, 3, 2})));
  }
  EXPECT_TRUE(is_at(stored[1], {-1, -1, -1, 0, -1, -1, 1, -1}));
  EXPECT_EQ(stored[1].key.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(stored[1].value.equal(-stored[1].key));
  EXPECT_TRUE(stored[1].key.select(0, 1).eq(202).all().item<bool>());
  // Those of the memory's own type lie beside its own chunks.
  EXPECT_TRUE(is_at(stored[2], {-1, 0, 1, -1, -1, -1, -1, -1}));
  EXPECT_TRUE(stored[2].key.equal(at::tensor({304.0F, 3.0F}).view({2, 1, 1, 1}).expand({2, 3, 2, 4})));
}

TEST(ChunkMemory, ForksShareTheirPastAndGoOnByThemselves) {
  ChunkMemory memory = filled(20, 20);
  append(memory, 20, 22);
  ChunkMemory first = memory.fork();
  ChunkMemory second = memory.fork();
  append(memory, 22, 30);
  append(first, 100, 103);
  append(second, 200, 201);
  append(first, 103, 150);
  ChunkMemory third = first.fork();
  append(third, 300, 302);
  append(first, 150, 151);
  const auto expected = [](std::int64_t shared, std::int64_t begin, std::int64_t end) {
    return at::cat({numbered(0, shared, {8}), numbered(begin, end, {8})});
  };
  EXPECT_TRUE(at::equal(all_landmarks(memory), numbered(0, 30, {8})));
  EXPECT_TRUE(at::equal(all_landmarks(first), expected(22, 100, 151)));
  EXPECT_TRUE(at::equal(all_landmarks(second), expected(22, 200, 201)));
  EXPECT_TRUE(at::equal(all_landmarks(third), at::cat({expected(22, 100, 150), numbered(300, 302, {8})})));
  expect_fetched(third, ArchiveSet(), at::tensor({73, 22, 21, 71}, at::kLong).view({1, 1, 4}), 4,
                 [](std::int64_t chunk) {
                   if (chunk < 22) return chunk;
                   return chunk < 72 ? 100 + chunk - 22 : 300 + chunk - 72;
                 });
}

}  // namespace
}  // namespace lookback
